"""What can be done about a profile, each in a sentence and as a line that a person pastes into a shell."""

from __future__ import annotations

import json
import shlex
from typing import Any, NamedTuple

from lockservice.core.facts import Facts

# The gateway's own default. The lock service does not know where callers find theirs; the command line,
# which does, puts its address in this one's place.
ADDRESS = "127.0.0.1:7433"
_WHY = "WHY, for the record"


class Advice(NamedTuple):
    """One thing that can be done; `command` is "" where no single call does it."""

    text: str
    command: str = ""


def open_now(facts: Facts) -> Advice:
    return Advice("Open a browser on it", _on(facts, "SessionService/OpenSession"))


def wait(facts: Facts) -> Advice:
    return Advice("Wait for it in the queue", _on(facts, "SessionService/OpenSession", wait="60s"))


def release(facts: Facts) -> Advice:
    return Advice(
        "Release it, if the run is yours and the account is in order",
        _on(facts, "HoldService/ReleaseHold", fencingToken=str(facts.token)),
    )


def revoke(facts: Facts) -> Advice:
    return Advice(
        "Take it from a worker that must stop: starts an incident, frees nothing (administrators)",
        _on(facts, "HoldService/RevokeHold", fencingToken=str(facts.token), reason=_WHY),
    )


def resume(facts: Facts) -> Advice:
    holding = facts.holding
    request: dict[str, Any] = {"workflowId": holding.workflow_id, "resumeState": True}
    if facts.record.resume_plan:
        request["plan"] = facts.record.resume_plan
    if holding.proxy_key:
        city, _, state = holding.proxy_key.partition("__")
        request["proxy"] = {"city": city, "state": state}
    return Advice(
        "Go on with it, as that workflow's next run", _on(facts, "SessionService/OpenSession", **request)
    )


def enable(facts: Facts) -> Advice:
    profile = {"name": str(facts.profile), "etag": str(facts.mod), "state": "PROFILE_STATE_AVAILABLE"}
    return Advice(
        "Take it back into use, once whatever was wrong with it is put right (administrators)",
        command("ProfileService/UpdateProfile", {"profile": profile, "updateMask": "state"}),
    )


def look(facts: Facts) -> Advice:
    return Advice(
        "See what is known of the incident",
        command("IncidentService/GetIncident", {"incident": facts.incident_name}),
    )


def hosts() -> Advice:
    return Advice("See whether its host is there", command("HostService/ListHosts", {}))


def resolve(facts: Facts) -> Advice:
    """What a reviewer can choose, and the line that chooses what is most likely."""
    request: dict[str, Any] = {"incident": facts.incident_name, "etag": str(facts.mod)}
    if facts.damage:
        request["outcome"] = "OUTCOME_DISABLED"
        text = (
            f"Then decide. Only DISABLED is of use, or a restore of the directory first, for {facts.damage}: "
            "a start on it will be refused"
        )
    else:
        request["outcome"] = "OUTCOME_AVAILABLE"
        text = "Then decide: AVAILABLE frees it; RETRY frees it for its task to start over; "
        if facts.holding.workflow_id:
            text += f"RESUME_PENDING keeps it for workflow {facts.holding.workflow_id} to go on; "
        text += "DISABLED takes it out of use"
    request["reason"] = _WHY
    if not facts.acknowledged:
        request["attestDestroyed"] = True
        text += (
            ". The host never said that the old worker is cut off: make sure first that its browser is "
            "destroyed, for attestDestroyed says so in your name"
        )
    return Advice(text, command("IncidentService/ResolveIncident", request))


def command(method: str, request: dict[str, Any]) -> str:
    """One line that calls `method`. Quoted so that no value ends the argument."""
    body = json.dumps(request, ensure_ascii=False)
    return f"grpcurl -plaintext -d {shlex.quote(body)} {ADDRESS} tenure.v1.{method}"


def _on(facts: Facts, method: str, **request: Any) -> str:
    return command(method, {"profile": str(facts.profile), **request})
