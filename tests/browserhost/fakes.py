"""A host without Chrome and without a lock service: what it asks for is answered here, and noted."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from browserhost import lock
from browserhost.addresses import Addresses, Kind
from browserhost.browser import BrowserEnd, CloseReport, LaunchSpec
from browserhost.cache import Cache
from browserhost.clock import boottime
from browserhost.egress.proxies import Proxies
from browserhost.endpoint import Grant
from browserhost.host import Host
from browserhost.keepers import Called
from browserhost.neighbours import LockService
from browserhost.note import Note
from browserhost.opening import Opened, Opening
from browserhost.page import Observer
from browserhost.paths import DataRoot
from browserhost.picture import NoPicture, Picture, Wish
from browserhost.profile import Profile
from browserhost.verifier import Proof
from browserhost.whereabouts import Whereabouts
from browserhost.workshop import Workshop
from tenure.errors import BrowserCrashed, StoreUnavailable, TenureError
from tenure.internal.v1.lock_service_pb2 import TokenVerdict
from tenure.names import ProfileName
from tenure.v1.hold_pb2 import PROFILE_STATE_AVAILABLE, PROFILE_STATE_HELD, ProfileState

ALICE = ProfileName("default", "alice")
BOB = ProfileName("default", "bob")
CAROL = ProfileName("default", "carol")
HOST = "hosts/h-1"


class FakeBrowser:
    """Notes what it is told. Its files: the directory gets one, so that the profile is there."""

    def __init__(self, spec: LaunchSpec, chrome: FakeChrome) -> None:
        self.spec = spec
        self.pid, self.start_ticks = os.getpid(), 1
        self.flushed_at: float | None = None
        self.timings = {"launch": 0.1}
        self.fingerprint = spec.fingerprint
        self.ended: asyncio.Future[BrowserEnd] = asyncio.get_running_loop().create_future()
        self.url = "about:blank"
        self.visited: list[str] = []
        self.observer: Observer | None = None
        self.pictures = 0
        self.looks = 0
        self.closed = False
        self.tainted = False
        self.spent = ""
        self.stilled = ""
        self.loading = True
        self.runs = True
        self.note = Note(str(spec.profile_dir), "/nowhere", "/nowhere")
        self.kept_for_nobody = False
        self.put_out_for = ""
        self.lives: list[socket.socket] = []
        self._chrome = chrome
        # The keeper and Chrome hold the lock through copies of the host's descriptor.
        self._lock = os.dup(spec.lock_fd)
        (spec.profile_dir / "Local State").touch()

    async def open(self, url: str) -> dict[str, float]:
        await self._at("open")
        self.url = url
        self.visited.append(url)
        if self.observer is not None:
            self.observer.committed(url, own=True)
        return {"navigate": 0.01}

    def look(self) -> None:
        self.looks += 1

    async def hand_over(self, url: str) -> dict[str, float]:
        await self._at("hand_over")
        return await self.open(url)

    async def flush(self) -> float:
        await self._at("flush")
        self.flushed_at = time.time()
        return self.flushed_at

    def taint(self) -> None:
        self.tainted = True

    def spend(self, method: str) -> None:
        self.spent = method

    def stop_loading(self) -> None:
        self.loading = False

    async def still(self, *, for_good: bool) -> None:
        if self.runs:
            await self._chrome.at("still")
        self.stilled = "for good" if for_good else "for now"

    def wake(self) -> None:
        self.stilled = ""

    async def prepare(self) -> None:
        await self._at("prepare")

    async def warm_up(self) -> None:
        await self._at("warm_up")

    async def answers(self) -> None:
        await self._at("answers")

    async def come_to_rest(self) -> None:
        await self._at("rest")

    async def picture(self, wish: Wish = Wish()) -> Picture:  # noqa: B008 - it is frozen
        await self._at("picture")
        if self._chrome.unsafe:
            raise NoPicture("a secret field on the page could not be covered")
        self.pictures += 1
        return Picture(f"picture {self.pictures} of {self.url}".encode(), wish.media_type, 800, 600)

    def begin_files(self, token: int) -> None:
        if "begin_files" in self._chrome.fail:
            raise self._chrome.fail["begin_files"]
        self.files_of = token

    def end_files(self, token: int) -> None:
        self.files_of = 0

    def watch(self, observer: Observer) -> None:
        self.observer = observer

    async def close(self) -> CloseReport:
        await self._chrome.closes()
        clean = self._chrome.dies_clean and self.runs
        if clean:
            self.flushed_at = time.time()
        self.closed = True
        self._end(BrowserEnd(True, "closed"))
        return CloseReport(clean, "closed", self.flushed_at)

    async def _at(self, step: str) -> None:
        await self._chrome.at(step)
        if not self.runs:
            raise BrowserCrashed(problem="was killed by SIGKILL")

    def put_down(self, why: str) -> None:
        self._end(BrowserEnd(False, why))

    def remember(self, **said: Any) -> None:
        self.note = replace(self.note, **said)

    async def put_out(self, reason: str) -> None:
        self.put_out_for = reason

    def keep_for_nobody(self) -> None:
        self.kept_for_nobody = True

    def die(self) -> None:
        """End as after a kill."""
        self._end(BrowserEnd(False, "was killed by SIGKILL"))

    def called(self) -> Called:
        """Its keeper's answer to a next host."""
        ours, theirs = socket.socketpair()
        self.lives.append(theirs)
        reports = ("keeper 1 1", "xvfb 2 1 7", f"chrome {self.pid} {self.start_ticks}")
        return Called(ours, -1, -1, -1, reports, self.note)

    def was_let_go(self) -> bool:
        """Whether the next host told the keeper to end it. It ends with that."""
        told = [each.recv(100) for each in self.lives]
        self.vanish()
        return told == [b"drop\n"]

    def vanish(self) -> None:
        """End with the host that would have been told."""
        for life in self.lives:
            life.close()
        self.lives.clear()
        if self.runs:
            self.runs = False
            os.close(self._lock)

    def _end(self, end: BrowserEnd) -> None:
        self.vanish()
        if not self.ended.done():
            self.ended.set_result(end)


@dataclass
class FakeChrome:
    """Launches fakes. `fail[step]` makes a step raise, `hold[step]` makes it wait."""

    launched: list[FakeBrowser] = field(default_factory=list)
    fail: dict[str, TenureError] = field(default_factory=dict)
    hold: dict[str, asyncio.Event] = field(default_factory=dict)
    reached: dict[str, asyncio.Event] = field(default_factory=dict)
    dies_clean: bool = True
    unsafe: bool = False
    side_by_side: int = 0
    most_side_by_side: int = 0
    closing: int = 0
    most_closing: int = 0
    two_at_once: asyncio.Event = field(default_factory=asyncio.Event)

    async def adopt(self, spec: LaunchSpec, called: Called, *, still: bool) -> FakeBrowser:
        await self.at("adopt")
        (found,) = [each for each in self.launched if each.runs and each.spec.profile_dir == spec.profile_dir]
        called.taken = True
        called.life.close()
        found.ended = asyncio.get_running_loop().create_future()
        found.tainted = True
        if still:
            await found.still(for_good=True)
        return found

    async def launch(self, spec: LaunchSpec) -> FakeBrowser:
        self.side_by_side += 1
        self.most_side_by_side = max(self.most_side_by_side, self.side_by_side)
        if self.side_by_side == 2:
            self.two_at_once.set()
        try:
            await self.at("launch")
        finally:
            self.side_by_side -= 1
        browser = FakeBrowser(spec, self)
        self.launched.append(browser)
        return browser

    async def closes(self) -> None:
        self.closing += 1
        self.most_closing = max(self.most_closing, self.closing)
        try:
            await self.at("close")
        finally:
            self.closing -= 1

    async def at(self, step: str) -> None:
        self.reached.setdefault(step, asyncio.Event()).set()
        if step in self.hold:
            await self.hold[step].wait()
        await asyncio.sleep(0)
        if step in self.fail:
            raise self.fail[step]

    def pause(self, step: str) -> tuple[asyncio.Event, asyncio.Event]:
        """Make a step wait; the event that it came there, and the one that lets it go on."""
        self.hold[step] = asyncio.Event()
        self.reached[step] = asyncio.Event()
        return self.reached[step], self.hold[step]


@dataclass
class FakeEndpoint:
    """Issues secrets and notes which were cut, and why."""

    gates: dict[str, Callable[[], None]] = field(default_factory=dict)
    on_calls: dict[str, Callable[[str], None]] = field(default_factory=dict)
    on_ends: dict[str, Callable[[], None]] = field(default_factory=dict)
    cuts: list[tuple[str, str]] = field(default_factory=list)
    further: list[tuple[str, Kind, float]] = field(default_factory=list)
    expected: list[Any] = field(default_factory=list)
    slow: asyncio.Event | None = None
    """What each cut waits for."""
    on_hand_over: Callable[[], None] = lambda: None
    """What clients still do before they are left to the next host."""

    def issue(
        self,
        browser: Any,
        gate: Callable[[], None],
        on_end: Callable[[], None],
        on_call: Callable[[str], None],
        addresses: Addresses | None = None,
    ) -> Grant:
        secret = addresses.main if addresses is not None else f"s{len(self.gates)}"
        self.gates[secret], self.on_ends[secret], self.on_calls[secret] = gate, on_end, on_call
        return Grant(f"ws://127.0.0.1:1/cdp/{secret}", secret)

    def issue_further(self, main: str, kind: Kind, until: float) -> str:
        self.further.append((main, kind, until))
        return f"{main}-{len(self.further)}"

    def expect(self, browser: Any) -> None:
        self.expected.append(browser)

    def addresses(self, main: str) -> Addresses | None:
        return Addresses(main) if main in self.gates else None

    async def cut(self, secret: str, reason: str) -> None:
        self.cuts.append((secret, reason))
        if self.slow is not None:
            await self.slow.wait()

    async def hand_over(self, reason: str) -> None:
        self.on_hand_over()


@dataclass
class FakeLocks:
    """A lock service in which `current` names each profile's token."""

    current: dict[ProfileName, int] = field(default_factory=dict)
    used: set[ProfileName] = field(default_factory=set)
    refusals: dict[int, str] = field(default_factory=dict)
    suspects: list[tuple[ProfileName, int, str]] = field(default_factory=list)
    verified: list[int] = field(default_factory=list)
    away: bool = False
    deaf: bool = False
    busy: set[ProfileName] = field(default_factory=set)
    homes: dict[ProfileName, str] = field(default_factory=dict)
    """Where a profile is at home, when that is not HOST."""
    states: dict[ProfileName, ProfileState.ValueType] = field(default_factory=dict)
    """How a profile stands, when it is neither free nor `busy`."""
    answer: asyncio.Event | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    told: asyncio.Event = field(default_factory=asyncio.Event)
    back: asyncio.Event = field(default_factory=asyncio.Event)
    located: asyncio.Event = field(default_factory=asyncio.Event)
    slow: asyncio.Event | None = None
    """What the answer to where a profile is at home waits for, on its way."""
    knows_incidents: bool = True
    revision: int = 1
    now: Callable[[], float] = boottime

    async def verify(self, name: ProfileName, token: int) -> Proof:
        sent_at = self.now()
        self.verified.append(token)
        self.asked.set()
        verdict = self._verdict(name, token)
        if self.answer is not None:
            await self.answer.wait()
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable
        return Proof(verdict, sent_at)

    def _verdict(self, name: ProfileName, token: int) -> TokenVerdict:
        if self.current.get(name) != token or token in self.refusals:
            return TokenVerdict(current=False, reason=self.refusals.get(token, "TOKEN_SUPERSEDED"))
        return TokenVerdict(current=True, used=name in self.used)

    async def suspect(self, name: ProfileName, token: int, cause: str, detail: str) -> bool:
        self.told.set()
        if self.deaf:
            await self.back.wait()
        self.suspects.append((name, token, cause))
        return self.knows_incidents

    async def locate(self, name: ProfileName) -> Whereabouts:
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable
        state = PROFILE_STATE_HELD if name in self.busy else self.states.get(name, PROFILE_STATE_AVAILABLE)
        found = Whereabouts(self.homes.get(name, HOST), state, self.revision, name in self.used)
        self.located.set()
        if self.slow is not None:
            await self.slow.wait()
        return found


class Machine:
    """A host on a data directory; `restart` makes another one on it, as after a kill."""

    def __init__(
        self,
        path: Path,
        *,
        capacity: int = 8,
        launches: int = 2,
        lock_wait_s: float = 0.05,
        name: str = HOST,
        lock_service: LockService | None = None,
    ) -> None:
        self.root = DataRoot.at(path)
        self.name = name
        self.locks = FakeLocks()
        self._lock_service = lock_service
        self.boot_id = "boot"
        self.endpoint = FakeEndpoint()
        self.chrome = FakeChrome()
        self._capacity, self._launches, self._lock_wait_s = capacity, launches, lock_wait_s
        self.proxies = Proxies({"miami__fl": "http://127.0.0.1:3128"})
        self.host = self._host()

    def _host(self) -> Host:
        profiles: dict[str, Profile] = {}
        workshop = Workshop(
            launch=self.chrome.launch,
            adopt=self.chrome.adopt,
            chrome="chromium",
            xvfb="Xvfb",
            sandbox=False,
            width=800,
            height=600,
            tmp_root=Path("/tmp"),
            host=self.name,
            boot_id=self.boot_id,
            proxies=self.proxies,
            launching=asyncio.Semaphore(self._launches),
            cache=Cache(self._capacity, profiles),
            lock_wait_s=self._lock_wait_s,
        )
        return Host(self.root, workshop, profiles, self._lock_service or self.locks, self.endpoint)

    def profile(self, name: ProfileName = ALICE) -> Profile:
        return self.host.profile(name)

    async def open(
        self, token: int, name: ProfileName = ALICE, url: str = "http://a.test/", **changes: Any
    ) -> Opened:
        """Grant the token, and open under it."""
        self.locks.current[name] = token
        return await self.ask(token, name, url, **changes)

    async def ask(
        self, token: int, name: ProfileName = ALICE, url: str = "http://a.test/", **changes: Any
    ) -> Opened:
        """Open under a token, whoever holds the profile."""
        fields: dict[str, Any] = {"proxy_key": "", "reuse": True}
        return await self.profile(name).open(Opening(token, url, **(fields | changes)))

    def browser(self) -> FakeBrowser:
        """The newest."""
        return self.chrome.launched[-1]

    async def killed(self) -> None:
        """The host is gone as by SIGKILL: nothing was closed or written; its browsers end by themselves."""
        for profile in self.host.known():
            profile.witness.stop()
            await profile._tasks.aclose()
        for browser in self.chrome.launched:
            browser.vanish()
        self.endpoint = FakeEndpoint()
        self.host = self._host()

    async def left(self) -> list[Called]:
        """As `killed`, but the browsers live on, and their keepers answer the next host."""
        for profile in self.host.known():
            profile.witness.stop()
            await profile._tasks.aclose()
        self.endpoint = FakeEndpoint()
        self.host = self._host()
        return [each.called() for each in self.chrome.launched if each.runs]

    def is_locked(self, name: ProfileName = ALICE) -> bool:
        descriptor = lock.try_lock(self.root.profile(name).lock)
        if descriptor is None:
            return True
        os.close(descriptor)
        return False
