"""Fixtures that all tests may use, and which tests go side by side."""

from __future__ import annotations

import hypothesis
import pytest

# How long an example takes says something about the machine, not about the code.
hypothesis.settings.register_profile(
    "tenure", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tenure")

# A module comes after those that it imports: pytest rewrites the assertions of each before its import.
pytest_plugins = [
    "tests.fixtures.chrome",
    "tests.fixtures.rig",
    "tests.fixtures.lair",
    "tests.fixtures.etcd",
    "tests.fixtures.pyppeteer",
    "tests.fixtures.system",
    "tests.fixtures.scene",
]

# Files of tests that start browsers go one after the other while the rest goes on beside them: on two cores,
# what Chrome and X do at once for two of them comes too late for both.
STARTS_BROWSERS = (
    "act",
    "browser",
    "cdp",
    "damage",
    "demo",
    "explain",
    "gateway",
    "host",
    "incident",
    "inspect",
    "move_browsers",
    "on_call",
    "readme",
    "sdk",
    "system",
    "unbuilt",
    "up",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the group that a test goes with: the browsers', or its file's."""
    for item in items:
        name = item.path.stem.removeprefix("test_")
        browsers = item.path.parent.name == "integration" and name.startswith(STARTS_BROWSERS)
        item.add_marker(pytest.mark.xdist_group("browsers" if browsers else item.nodeid.partition("::")[0]))
