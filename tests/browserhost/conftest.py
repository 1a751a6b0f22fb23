"""A machine without Chrome for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.browserhost.fakes import Machine


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    """A host that has just started. At the end it closes what is open, and every lock is free."""
    made = Machine(tmp_path)
    await made.host.start()
    yield made
    made.chrome.hold.clear()
    made.chrome.fail.clear()
    await made.host.aclose()
    assert [browser for browser in made.chrome.launched if browser.runs] == []
