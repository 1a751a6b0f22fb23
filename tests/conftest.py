"""Fixtures that all tests may use, and which tests go side by side."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

# How long an example takes says something about the machine, not about the code.
hypothesis.settings.register_profile(
    "tenure", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tenure")

# A shell ignores Ctrl-C for what it starts in the background, and so would whatever is started there.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A module comes after those that it imports: pytest rewrites the assertions of each before its import.
pytest_plugins = [
    "tests.fixtures.chrome",
    "tests.fixtures.cores",
    "tests.fixtures.rig",
    "tests.fixtures.host_process",
    "tests.fixtures.lair",
    "tests.fixtures.etcd",
    "tests.fixtures.clients",
    "tests.fixtures.fenced",
    "tests.fixtures.system",
    "tests.fixtures.scene",
    "tests.fixtures.second_chance",
]

# Files of tests that start browsers go one after the other while the rest goes on beside them: on two cores,
# what Chrome and X do at once for two of them comes too late for both.
STARTS_BROWSERS = (
    "act",
    "browser",
    "cdp",
    "damage",
    "demo",
    "gateway",
    "host",
    "incident",
    "inspect",
    "move_browsers",
    "on_call",
    "readme",
    "sandbox",
    "sdk",
    "soak",
    "system",
    "view",
)
# These are named alike, and start none.
STARTS_NONE = ("host_schedule", "incident_wire")


class SideBySide(LoadScopeScheduling):  # type: ignore[misc]  # the plugin has no types
    """A file's tests stay in one process, and all that start browsers in one and the same."""

    def _split_scope(self, nodeid: str) -> str:
        path = Path(nodeid.partition("::")[0])
        name = path.stem.removeprefix("test_")
        starts_browsers = name.startswith(STARTS_BROWSERS) and name not in STARTS_NONE
        return "browsers" if path.parent.name == "integration" and starts_browsers else str(path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SideBySide:
    """Say what may go side by side."""
    return SideBySide(config, log)
