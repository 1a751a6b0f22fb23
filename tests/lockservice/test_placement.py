from lockservice.core.placement import choose_host, why_no_room
from tenure.v1.host_pb2 import Host, HostState, WarmBrowser

P = "tenants/t/profiles/p"


def host(name: str, browsers: int = 0, warm: tuple[str, ...] = (), **fields: object) -> Host:
    base: dict[str, object] = {"capacity": 4, "state": HostState.HOST_STATE_READY}
    browsing = [WarmBrowser(profile=profile) for profile in warm]
    return Host(name=name, browsers=browsers, warm=browsing, **{**base, **fields})  # type: ignore[arg-type]


def test_a_warm_browser_comes_before_room() -> None:
    assert choose_host([host("a"), host("b", 4, (P,))], P) == "b"


def test_a_warm_browser_with_the_proxy_comes_before_one_with_another() -> None:
    miami = WarmBrowser(profile=P, proxy_key="miami__fl")
    hosts = [host("a", warm=(P,)), host("b", 3)]
    hosts[1].warm.append(miami)
    assert choose_host(hosts, P, "miami__fl") == "b"
    assert choose_host(hosts, P) == "a"
    assert choose_host(hosts, P, "austin__tx") == "a"


def test_most_room_comes_next_and_names_break_ties() -> None:
    assert choose_host([host("a", 3), host("c", 1), host("b", 1)], P) == "b"


def test_room_that_can_be_made_comes_last() -> None:
    full_but_idle = host("a", 4, ("tenants/t/profiles/q",))
    assert choose_host([full_but_idle, host("b", 3)], P) == "b"
    assert choose_host([full_but_idle, host("b", 4)], P) == "a"


def test_hosts_that_take_no_new_profiles_are_left_out() -> None:
    cordoned = host("a", state=HostState.HOST_STATE_CORDONED)
    draining = host("b", state=HostState.HOST_STATE_DRAINING)
    assert choose_host([cordoned, draining, host("c", 3)], P) == "c"
    assert choose_host([cordoned, draining], P) is None


def test_nobody_has_room() -> None:
    assert choose_host([host("a", 4), host("b", 4)], P) is None
    assert choose_host([], P) is None


def test_that_every_host_is_cordoned_is_told_apart_from_no_room() -> None:
    cordoned = host("a", state=HostState.HOST_STATE_CORDONED)
    draining = host("b", state=HostState.HOST_STATE_DRAINING)
    assert "uncordon" in why_no_room([cordoned, draining])
    assert why_no_room([cordoned, host("c", 4)]) == ""
