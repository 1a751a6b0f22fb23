"""The browser host's life: take the data directory, settle the past, serve, close every browser."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from browserhost.apart import Apart
from browserhost.browser import Browser
from browserhost.cache import Cache
from browserhost.egress.addresses import Rules, services
from browserhost.egress.egress import Egress
from browserhost.egress.geo import Geo
from browserhost.egress.proxies import Proxies
from browserhost.endpoint import CdpEndpoint
from browserhost.extensions import Shelf
from browserhost.files.ledger import Limits
from browserhost.host import Host
from browserhost.identity import boot_id, fingerprint_salt, host_id, sole_host
from browserhost.keepers import Called, Keepers
from browserhost.launches import Launches
from browserhost.limits import Bounds
from browserhost.locks import Locks
from browserhost.paths import DataRoot
from browserhost.profile import HOST_STOPPING, Profile
from browserhost.recycling import Lifetime
from browserhost.registrar import keep_registered
from browserhost.servicer import BrowserHost
from browserhost.settings import BrowserHostSettings
from browserhost.snapshot.policy import Policy
from browserhost.tasks import Tasks
from browserhost.view.service import Views
from browserhost.workshop import Workshop
from servicekit.call import forwarded_identity
from servicekit.channels import Channels
from servicekit.deadlines import REQUIRED
from servicekit.main import Shutdown
from servicekit.server import BindError, Server
from tenure.errors import BrowserMissing
from tenure.internal.v1 import browser_host_service_pb2 as pb
from tenure.internal.v1.browser_host_service_pb2_grpc import add_BrowserHostServiceServicer_to_server
from tenure.internal.v1.lock_service_pb2_grpc import LockServiceStub
from tenure.v1 import host_pb2


async def serve(settings: BrowserHostSettings, shutdown: Shutdown) -> None:
    """Serve until `shutdown` is set, then close every browser cleanly, or leave it to the next host.

    Raises DataRootInUse when another host runs on the data directory, BindError for a taken address.
    """
    root = DataRoot.at(settings.data_root)
    with sole_host(root):
        name = f"hosts/{host_id(root)}"
        keepers = Keepers(root.keepers, settings.adopt_s)
        called = await keepers.call()
        async with (
            Channels("browserhost") as channels,
            # Ends last: as long as this process is there it says so to who waits for the next one.
            await _cdp_endpoint(settings.cdp_listen, called) as endpoint,
            Server("browserhost", settings, forwarded_identity, REQUIRED) as server,
        ):
            channel = channels.to(settings.lockservice)
            stub = LockServiceStub(channel)
            locks = Locks(stub, channels, name)
            profiles: dict[str, Profile] = {}
            server.bind()
            # Before any browser, of an earlier host or of this one, has a way out.
            egress = Egress(_rules(settings, server.address, endpoint.address))
            apart = await asyncio.to_thread(_apart, settings, root)
            workshop = _workshop(settings, name, _cache(settings, profiles), egress, apart, keepers)
            async with Host(root, workshop, profiles, locks, endpoint) as host:
                await host.start(called)
                endpoint.returning.expected = frozenset()
                Views(endpoint, host).register()
                servicer = BrowserHost(host, reuse=settings.chrome_reuse == "enabled")
                server.serves(
                    partial(add_BrowserHostServiceServicer_to_server, servicer),
                    pb.DESCRIPTOR.services_by_name["BrowserHostService"].full_name,
                )
                server.depends_on("lockservice", channel)
                await server.unavailable("registration", "not known to the lock service yet")
                await server.start()
                await server.ready()
                keeping = Tasks()
                version = keeping.spawn(_chrome_version(workshop))
                facts = partial(_facts, host, workshop, server, endpoint, version)
                registered = partial(server.available, "registration")
                keeping.spawn(keep_registered(stub, channels, facts, registered, host.scheduled))
                await shutdown.wait()
                # Browsers close while calls still drain: an open under way ends with its token's browser.
                await keeping.aclose()
                if shutdown.handing_over and settings.adopt_s:
                    await host.hand_over(HOST_STOPPING)
                else:
                    await host.aclose()
                    await asyncio.to_thread(apart.leave)
                await egress.exits.aclose()
            await locks.aclose()


async def _cdp_endpoint(address: str, called: Sequence[Called]) -> CdpEndpoint:
    """Listen. Where any port will do, it is the one that adopted browsers' clients know, if it can be had."""
    host, _, port = address.rpartition(":")
    known = {each.note.cdp_address.rpartition(":")[2] for each in called} - {""}
    tickets = frozenset[str]().union(*(each.note.tickets for each in called))
    for old in known if port == "0" else ():
        with suppress(OSError):
            return await CdpEndpoint.start(host.strip("[]"), int(old), tickets)
    try:
        return await CdpEndpoint.start(host.strip("[]"), int(port), tickets)
    except OSError as error:
        raise BindError(address, (error.strerror or str(error)).lower()) from error


def _rules(settings: BrowserHostSettings, *own: str) -> Rules:
    """Where browsers may go. `own` are this host's addresses."""
    refused = services([*settings.refuse, *own])
    with suppress(ValueError):  # a name: the setting `refuse` says what it means
        refused |= services([settings.lockservice])
    return Rules(refused, private=settings.private_networks == "allow")


def _cache(settings: BrowserHostSettings, profiles: dict[str, Profile]) -> Cache:
    bounds = Bounds(settings.capacity, settings.memory, settings.memory_reserve, settings.idle_ttl_s)
    return Cache(settings.capacity, profiles, bounds)


def _apart(settings: BrowserHostSettings, root: DataRoot) -> Apart:
    first, last = settings.uids
    return Apart.found(
        settings.sandbox,
        root,
        settings.chrome,
        settings.xvfb,
        tmp=settings.tmp_root,
        ids=range(first, last + 1),
        groups=settings.cgroup,
        host=host_id(root),
    )


def _workshop(
    settings: BrowserHostSettings, name: str, cache: Cache, egress: Egress, apart: Apart, keepers: Keepers
) -> Workshop:
    return Workshop(
        launch=Browser.launch,
        keepers=keepers,
        chrome=settings.chrome,
        xvfb=settings.xvfb,
        sandbox=apart.plan.sandbox,
        width=settings.width,
        height=settings.height,
        tmp_root=settings.tmp_root,
        host=name,
        boot_id=boot_id(),
        proxies=Proxies(
            settings.proxies, settings.proxies_file, fingerprint_salt(DataRoot.at(settings.data_root))
        ),
        geo=Geo(settings.time_zone, tuple(settings.languages)),
        extensions=Shelf(settings.extensions_dir, for_others=apart.ids is not None),
        launching=Launches(settings.launches, reserve=settings.memory_reserve, make_room=cache.make_room),
        cache=cache,
        least_free=settings.least_free,
        egress=egress,
        snapshots=Policy(settings.snapshots, settings.snapshot_every_s, settings.snapshots_keep),
        import_limit=settings.import_limit,
        keep_hands=settings.keep_hands == "enabled",
        prewarm=settings.prewarm == "enabled",
        hand_over_in_tab=settings.hand_over_in_tab == "enabled",
        look_ahead=settings.look_ahead == "enabled",
        files=Limits(
            settings.upload_limit,
            settings.download_limit,
            settings.session_files_limit,
            settings.least_free,
        ),
        lifetime=Lifetime(settings.max_age_s, settings.browser_memory),
        apart=apart,
        copies=apart.root.path / "scratch" if apart.root is not None else None,
    )


async def _chrome_version(workshop: Workshop) -> str:
    try:
        return await workshop.installed.version(workshop.chrome)
    except BrowserMissing:
        return ""


def _facts(
    host: Host, workshop: Workshop, server: Server, endpoint: CdpEndpoint, version: asyncio.Task[str]
) -> host_pb2.Host:
    return host_pb2.Host(
        name=workshop.host,
        address=server.address,
        cdp_address=endpoint.address,
        boot_id=workshop.boot_id,
        capacity=host.cache.capacity,
        browsers=host.cache.taken,
        warm=host.warm(),
        emptying=host.cache.draining,
        memory_bytes=host.cache.bounds.most,
        browsers_bytes=host.sweeper.bytes,
        chrome_version=version.result() if version.done() and not version.cancelled() else "",
        isolation=host_pb2.Isolation.Value(f"ISOLATION_{workshop.apart.plan.isolation.name}"),
        state=host_pb2.HOST_STATE_READY,
    )
