"""Whether browsers can be kept apart: decided from what is found, never from what this machine has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tenure import sandbox
from tenure.sandbox import CannotBeHad, Facts, Isolation, plan

ROOT = Facts(root=True)
USER = Facts(root=False)


def test_root_gives_every_tenant_a_user_and_chrome_its_sandbox() -> None:
    found = plan("auto", ROOT)
    assert found.isolation is Isolation.USER_PER_TENANT
    assert found.sandbox
    assert (found.reason, found.remedy) == ("", "")


def test_anybody_else_runs_browsers_as_himself_with_their_sandbox() -> None:
    assert plan("auto", USER).isolation is Isolation.OWN_USER
    assert plan("on", USER).sandbox


@pytest.mark.parametrize(
    ("facts", "reason", "remedy"),
    [
        (Facts(root=True, lacking=("SETUID", "CHOWN")), "CAP_SETUID, CAP_CHOWN", "capabilities"),
        (Facts(root=True, namespaces=False), "namespaces", "sysctl"),
        # The helper is of no use where nothing may gain privileges.
        (Facts(root=True, namespaces=False, helper=True), "namespaces", "sysctl"),
        (Facts(root=True, closed="/root"), "'/root' is closed", "/var/lib/tenure"),
        (Facts(root=False, namespaces=False), "namespaces", "chromium-sandbox"),
    ],
)
def test_what_is_in_the_way_is_said_with_its_remedy(facts: Facts, reason: str, remedy: str) -> None:
    found = plan("auto", facts)
    assert not found.sandbox
    assert reason in found.reason
    assert remedy in found.remedy
    with pytest.raises(CannotBeHad, match="To have it"):
        plan("on", facts)


def test_chromes_helper_stands_in_for_namespaces_where_the_host_is_no_root() -> None:
    assert plan("auto", Facts(root=False, namespaces=False, helper=True)).sandbox


def test_off_is_off_whatever_could_be_had() -> None:
    assert plan("off", ROOT).isolation is Isolation.NONE


def test_a_place_is_open_when_everything_above_it_may_be_passed(tmp_path: Path) -> None:
    # pytest's own folders are closed, as those of a home are.
    base = Path("/tmp") / f"tenure-open-{os.getpid()}"
    base.mkdir(mode=0o711)
    base.chmod(0o711)
    try:
        assert sandbox.closed([base / "data", base / "not" / "there" / "yet"]) == ""
        inner = base / "inner"
        inner.mkdir(mode=0o700)
        assert sandbox.closed([base, inner / "data"]) == str(inner)
        # The place itself is its owner's to open.
        assert sandbox.closed([inner]) == ""
        inner.rmdir()
    finally:
        base.rmdir()


def test_this_machine_can_be_looked_at() -> None:
    found = sandbox.facts([Path("/usr/share")], ["true", "no-such-program-anywhere"])
    assert found.root == (os.geteuid() == 0)
    assert found.closed == ""
    plan("auto", found)


def test_programs_that_a_tenant_could_not_run_close_the_way(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        return
    program = tmp_path / "chrome"
    program.touch(mode=0o755)
    assert sandbox.facts([], [str(program)]).closed
