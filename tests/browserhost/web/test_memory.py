"""What large pictures cost on their way from Chrome's pipe to a client."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from browserhost.endpoint import CdpEndpoint
from tests.browserhost.test_endpoint import Chrome, unread
from tests.fixtures.chrome import until

CALL = b'{"id":1,"method":"Page.captureScreenshot"}'
FRAME = bytes((0x81, 0x80 | len(CALL))) + bytes(4) + CALL
SLACK = 1 << 20


# asyncio's own transport copies what it is given, and again what it cannot send at once.
@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.parametrize("sizes", [[1] * 50, [50]])
async def test_a_stream_of_large_pictures_grows_no_memory(sizes: list[int]) -> None:
    chrome = Chrome()
    chrome.silent = {"Page.captureScreenshot"}
    body = b'"result":{"data":"%b"},"sessionId":"S"}' % (b"x" * (sizes[0] << 20))
    async with await CdpEndpoint.start("127.0.0.1", 0) as endpoint:
        grant = endpoint.issue(chrome.browser, lambda: None, lambda: None, lambda _: None)
        reader, writer = await unread(grant)
        await until(lambda: "Target.attachToBrowserTarget" in chrome.asked)
        tracemalloc.start()
        try:
            for turn in range(len(sizes)):
                writer.write(FRAME)
                await until(lambda turn=turn: chrome.asked.count("Page.captureScreenshot") > turn)  # type: ignore[misc]
                answer = bytearray(b'{"id":%d,%b' % (chrome.calls[-1]["id"], body))  # as the pipe has it
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                chrome.mux.received(answer)
                del answer
                left = len(body)
                async with asyncio.timeout(30):
                    while left > 0:
                        left -= len(await reader.read(1 << 16))
                now, peak = tracemalloc.get_traced_memory()
                assert peak - before < SLACK
                assert now - before < SLACK
        finally:
            tracemalloc.stop()
            writer.close()
