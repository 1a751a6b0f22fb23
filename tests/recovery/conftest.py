from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fixtures.etcd import Store
from tests.recovery.scene import Scene, scene_on


@pytest.fixture
async def scene(etcd: Store) -> AsyncIterator[Scene]:
    async with scene_on(etcd) as made:
        yield made
