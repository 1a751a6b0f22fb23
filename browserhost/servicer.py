"""BrowserHostService: wire messages to calls on profiles, and back."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import grpc.aio

from browserhost import config, evidence, policy
from browserhost.acting.service import ActingServicer
from browserhost.addresses_service import AddressesServicer
from browserhost.files.service import FilesServicer
from browserhost.host import Host
from browserhost.opening import Opening
from browserhost.paths import parse_evidence, parse_profile
from browserhost.session import timestamp
from browserhost.snapshot.service import CustodyServicer
from browserhost.snapshot.streams import drained
from tenure import token as tokens
from tenure.errors import InvalidField, NotFound, TenureError
from tenure.internal.v1 import browser_host_service_pb2 as pb
from tenure.names import IncidentName, check_proxy_key
from tenure.v1.session_pb2 import PhaseTiming

BLANK = "about:blank"
_DIGEST = re.compile(r"[0-9a-f]{64}")
CHUNK = 1 << 20

Context = grpc.aio.ServicerContext[Any, Any]


class BrowserHost(ActingServicer, AddressesServicer, CustodyServicer, FilesServicer):
    """`reuse` is what an absent `reuse_session` means; where it is False, no request can turn it on."""

    def __init__(self, host: Host, *, reuse: bool) -> None:
        self._host = host
        self._reuse = reuse

    async def OpenBrowser(self, request: pb.OpenBrowserRequest, context: Context) -> pb.OpenBrowserResponse:
        wanted = request.reuse_session if request.HasField("reuse_session") else True
        opening = Opening(
            token=tokens.check(request.fencing_token),
            url=_start_url(request.start_url),
            proxy_key=check_proxy_key(request.proxy_key),
            reuse=self._reuse and wanted,
            look=config.read(request.config, request.config_generation),
        )
        opened = await self._host.profile(parse_profile(request.profile)).open(opening)
        return pb.OpenBrowserResponse(
            session=opened.session.message(with_cdp_url=True),
            reused_session=opened.reused,
            prewarmed=opened.prewarmed,
            timings=_phases(opened.timings),
        )

    async def PrewarmBrowser(
        self, request: pb.PrewarmBrowserRequest, context: Context
    ) -> pb.PrewarmBrowserResponse:
        prewarming = self._host.profile(parse_profile(request.profile)).prewarming
        look = config.read(request.config, request.config_generation)
        done = await prewarming.prewarm(check_proxy_key(request.proxy_key), look)
        return pb.PrewarmBrowserResponse(
            prewarmed=done.warm, already_warm=done.before, timings=_phases(done.timings)
        )

    async def CloseHold(self, request: pb.CloseHoldRequest, context: Context) -> pb.CloseHoldResponse:
        token = tokens.check(request.fencing_token)
        profile = self._host.profile(parse_profile(request.profile))
        closed = await profile.close_hold(token, passed_on=request.passed_on)
        response = pb.CloseHoldResponse(used=closed.used)
        if closed.flushed_at is not None:
            response.flushed_at.CopyFrom(timestamp(closed.flushed_at))
        if closed.session is not None:
            response.session.CopyFrom(closed.session.message())
        return response

    async def EndSession(self, request: pb.EndSessionRequest, context: Context) -> pb.EndSessionResponse:
        token = tokens.check(request.fencing_token)
        session = await self._host.profile(parse_profile(request.profile)).end_session(token)
        return pb.EndSessionResponse(session=session.message() if session is not None else None)

    async def ShutdownProfileBrowser(
        self, request: pb.ShutdownProfileBrowserRequest, context: Context
    ) -> pb.ShutdownProfileBrowserResponse:
        token = tokens.check(request.fencing_token)
        running = await self._host.profile(parse_profile(request.profile)).shut_down(token)
        return pb.ShutdownProfileBrowserResponse(was_running=running)

    async def QuarantineHold(
        self, request: pb.QuarantineHoldRequest, context: Context
    ) -> pb.QuarantineHoldResponse:
        token = tokens.check(request.fencing_token)
        done = await self._host.profile(parse_profile(request.profile)).quarantine(token)
        return pb.QuarantineHoldResponse(floor=done.floor, browser_alive=done.browser_alive)

    async def InspectProfile(
        self, request: pb.InspectProfileRequest, context: Context
    ) -> pb.InspectProfileResponse:
        incident = _incident(request.profile, request.fencing_token)
        examiner = self._host.profile(incident.profile).examiner
        found, ledger = await examiner.examine(incident.fencing_token)
        return pb.InspectProfileResponse(evidence=found, items=evidence.items(incident, ledger))

    async def ListWitness(self, request: pb.ListWitnessRequest, context: Context) -> pb.ListWitnessResponse:
        incident = _incident(request.profile, request.fencing_token)
        ledger = await self._host.profile(incident.profile).witness.ledger(incident.fencing_token)
        return pb.ListWitnessResponse(items=evidence.items(incident, ledger))

    async def ReadWitness(
        self, request: pb.ReadWitnessRequest, context: Context
    ) -> AsyncIterator[pb.ReadWitnessResponse]:
        wanted = parse_evidence(request.evidence)
        witness = self._host.profile(wanted.incident.profile).witness
        content = await witness.picture(wanted.incident.fencing_token, wanted.item)
        if content is None:
            raise NotFound(name=request.evidence)
        for start in range(0, len(content), CHUNK):
            yield pb.ReadWitnessResponse(chunk=content[start : start + CHUNK])

    async def WitnessStep(self, request: pb.WitnessStepRequest, context: Context) -> pb.WitnessStepResponse:
        incident = _incident(request.profile, request.fencing_token)
        profile = self._host.profile(incident.profile)
        item = await profile.step(incident.fencing_token, request.step.seq, request.step.name)
        if item is None or not item.size:
            return pb.WitnessStepResponse()
        return pb.WitnessStepResponse(screenshot=evidence.name(incident, item))

    async def RetireHome(self, request: pb.RetireHomeRequest, context: Context) -> pb.RetireHomeResponse:
        moving = self._host.profile(parse_profile(request.profile)).moving
        retired = await moving.retire(request.revision)
        return pb.RetireHomeResponse(digest=retired.digest, size_bytes=retired.size)

    async def SendProfile(
        self, request: pb.SendProfileRequest, context: Context
    ) -> AsyncIterator[pb.SendProfileResponse]:
        moving = self._host.profile(parse_profile(request.profile)).moving
        async with aclosing(moving.send(request.revision)) as parts:
            async for part in parts:
                yield pb.SendProfileResponse(chunk=part)

    async def ReceiveProfile(
        self, requests: AsyncIterator[pb.ReceiveProfileRequest], context: Context
    ) -> pb.ReceiveProfileResponse:
        messages = aiter(requests)
        comes = (await anext(messages, pb.ReceiveProfileRequest())).header
        if comes.digest and not _DIGEST.fullmatch(comes.digest):
            raise InvalidField(
                field="digest", value=comes.digest, problem="is none", remedy="send that of RetireHome"
            )
        moving = self._host.profile(parse_profile(comes.profile)).moving
        parts = (message.chunk async for message in messages)
        try:
            received = await moving.receive(comes.revision, comes.digest, parts)
        except TenureError:
            await drained(parts)
            raise
        await drained(parts)
        return pb.ReceiveProfileResponse(digest=received)

    async def DescribeSessions(
        self, request: pb.DescribeSessionsRequest, context: Context
    ) -> pb.DescribeSessionsResponse:
        only = str(parse_profile(request.profile)) if request.profile else ""
        below = f"{request.parent}/" if request.parent else ""
        sessions = [
            profile.session.message()
            for profile in self._host.known()
            if profile.session is not None
            and only in ("", str(profile.name))
            and str(profile.name).startswith(below)
        ]
        return pb.DescribeSessionsResponse(sessions=sessions)


def _phases(timings: Mapping[str, float]) -> list[PhaseTiming]:
    phases = [PhaseTiming(phase=phase) for phase in timings]
    for phase, seconds in zip(phases, timings.values(), strict=True):
        phase.duration.FromNanoseconds(round(seconds * 1e9))
    return phases


def _incident(profile: str, token: int) -> IncidentName:
    """What a token's evidence is filed under, whether it became an incident or not yet."""
    return IncidentName(parse_profile(profile), tokens.check(token))


def _start_url(url: str) -> str:
    """The address to open; empty means about:blank. Raises InvalidField."""
    url = url or BLANK
    problem = policy.start_url_problem(url)
    if problem is not None:
        raise InvalidField(
            field="start_url", value=url, problem=problem, remedy="send http, https or about:blank"
        )
    return url
