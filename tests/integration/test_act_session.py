"""Act and pictures through every service: a real worker's calls on the running system."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest
import pytest_asyncio
from aiohttp import web
from google.protobuf.duration_pb2 import Duration

from tenure import errors
from tenure.files import SessionFiles
from tenure.page import Page
from tenure.v1.session_pb2 import Action, Click, PressKey, TypeText, Wait
from tenure.v1.session_service_pb2 import (
    ActRequest,
    CaptureScreenshotRequest,
    CloseSessionRequest,
    OpenSessionRequest,
    OpenSessionResponse,
    ScreenshotOptions,
    ShutdownBrowserRequest,
)
from tenure.v1.session_service_pb2_grpc import SessionServiceStub
from tests.fixtures.faults import system_in
from tests.fixtures.system import RunningSystem

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

FORM = """<!doctype html><meta charset="utf-8"><title>Form</title><body style="margin:0">
<input id="name" style="position:absolute;left:50px;top:50px;width:200px">
<button style="position:absolute;left:50px;top:100px;width:80px;height:30px">go</button>
<script>
const [field] = document.getElementsByTagName("input"), [button] = document.getElementsByTagName("button");
button.onclick = () => fetch("/said/" + field.value);
</script>"""


SAVE = """(() => {
    const link = document.createElement("a")
    link.href = URL.createObjectURL(new Blob(["x".repeat(3000000)]))
    link.download = "out.txt"
    link.click()
})()"""


class Site:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.heard = asyncio.Event()
        self.url = ""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningSystem]:
    """One for all: each test has a profile of its own."""
    async with system_in(tmp_path_factory.mktemp("act") / "tenure") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def site() -> AsyncIterator[Site]:
    shown = Site()

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=FORM, content_type="text/html")

    async def said(request: web.Request) -> web.Response:
        shown.said.append(request.match_info["text"])
        shown.heard.set()
        return web.Response()

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/said/{text:.*}", said)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    shown.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield shown
    await runner.cleanup()


class Worker:
    """A session, and calls in it."""

    def __init__(self, stub: SessionServiceStub, opened: OpenSessionResponse) -> None:
        self.stub, self.opened = stub, opened
        self.name, self.token = opened.session.name, opened.hold.fencing_token

    def act(self, *actions: Action, settle_s: int = 20) -> ActRequest:
        settle = Duration(seconds=settle_s)
        return ActRequest(session=self.name, fencing_token=self.token, actions=actions, settle=settle)

    async def refused(self, request: ActRequest) -> errors.TenureError:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.stub.Act(request)
        return errors.from_rpc_error(caught.value)


@pytest_asyncio.fixture(loop_scope="module")
async def worker(system: RunningSystem, site: Site, request: pytest.FixtureRequest) -> AsyncIterator[Worker]:
    profile = f"act:{request.node.name}"
    async with grpc.aio.insecure_channel(system.gateway) as channel:
        stub = SessionServiceStub(channel)
        opened = await stub.OpenSession(OpenSessionRequest(profile=profile, start_url=site.url))
        worker = Worker(stub, opened)
        yield worker
        await stub.CloseSession(CloseSessionRequest(session=worker.name, fencing_token=worker.token))


NAME = Action(click=Click(x=100, y=60))
GO = Action(click=Click(x=90, y=115))


def text(value: str) -> Action:
    return Action(type=TypeText(text=value))


async def test_a_worker_acts_and_sees_what_came_of_it(worker: Worker, site: Site) -> None:
    request = worker.act(NAME, text("Zoë 漢字"), GO)
    request.screenshot.inline = True
    answer = await worker.stub.Act(request)
    assert (len(answer.results), answer.settle_reason) == (3, "settled")
    assert site.said == ["Zoë 漢字"]
    assert answer.screenshot.media_type == "image/png"
    assert answer.screenshot.inline.startswith(b"\x89PNG")
    assert answer.screenshot.sha256 == hashlib.sha256(answer.screenshot.inline).digest()

    kept = await worker.stub.CaptureScreenshot(
        CaptureScreenshotRequest(
            session=worker.name,
            fencing_token=worker.token,
            options=ScreenshotOptions(media_type="image/jpeg", scale=0.5),
        )
    )
    assert kept.screenshot.media_type == "image/jpeg"
    assert kept.screenshot.width < answer.screenshot.width
    assert not kept.screenshot.inline
    profile, _, token = worker.name.rpartition("/sessions/")
    assert kept.screenshot.evidence.startswith(f"{profile}/incidents/{token}/evidence/")


async def test_what_would_leave_the_page_is_refused_with_nothing_done(worker: Worker, site: Site) -> None:
    for action, field in (
        (Action(key=PressKey(chord="ctrl+t")), "actions[2].key.chord"),
        (Action(click=Click(x=100, y=-60)), "actions[2].click.y"),
        (Action(wait=Wait(duration=Duration(seconds=90))), "actions[2].wait.duration"),
    ):
        error = await worker.refused(worker.act(GO, GO, action))
        assert isinstance(error, errors.InvalidField)
        assert error.field == field
    assert site.said == []


async def test_an_act_whose_hold_ends_midway_says_what_is_done_and_does_no_more(
    worker: Worker, site: Site
) -> None:
    await worker.stub.Act(worker.act(NAME, text("first")))
    wait = Action(wait=Wait(duration=Duration(seconds=30)))
    acting = asyncio.create_task(worker.refused(worker.act(GO, wait, GO)))
    await asyncio.wait_for(site.heard.wait(), 60)
    async with asyncio.timeout(25):
        await worker.stub.CloseSession(CloseSessionRequest(session=worker.name, fencing_token=worker.token))
    error = await acting
    assert isinstance(error, errors.TokenSuperseded)
    assert "actions[1]: " in str(error)
    assert "(1 of 3 actions are done" in str(error)
    assert error.metadata["actions_done"] == "1"
    assert site.said == ["first"]
    late = await worker.refused(worker.act(GO))
    assert isinstance(late, errors.TokenSuperseded)
    assert site.said == ["first"]


async def test_files_go_through_every_service_and_the_command_line(
    worker: Worker, system: RunningSystem, tmp_path: Path
) -> None:
    files = SessionFiles(worker.stub, worker.name, worker.token)
    (tmp_path / "in.csv").write_bytes(b"a,b\n" * 500_000)
    given = await files.upload(tmp_path / "in.csv")
    assert Path(given.path).read_bytes() == (tmp_path / "in.csv").read_bytes()
    async with Page.attach(worker.opened.session.cdp_url) as page:
        await page.evaluate(SAVE)
        while not [each for each in await files.list() if each.complete]:  # noqa: ASYNC110 - others' state
            await asyncio.sleep(0.05)
    await files.download("out.txt", tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_bytes() == b"x" * 3_000_000
    profile = worker.name.partition("/sessions/")[0].rpartition("/")[2]
    command = ["download", profile, "out.txt", "--to", str(tmp_path / "again.txt"), "--json"]
    fetching = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("tenure")), *command, "--address", system.gateway),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, problem = await fetching.communicate()
    assert (fetching.returncode, problem) == (0, b"")
    assert json.loads(said)["size"] == 3_000_000
    assert (tmp_path / "again.txt").read_bytes() == b"x" * 3_000_000


async def test_without_an_open_session_there_is_nothing_to_act_in(worker: Worker) -> None:
    profile, _, _ = worker.name.partition("/sessions/")
    await worker.stub.ShutdownBrowser(ShutdownBrowserRequest(profile=profile, fencing_token=worker.token))
    assert isinstance(await worker.refused(worker.act(GO)), errors.NotFound)
