from __future__ import annotations

import errno
import json
import os

import pytest
import typer

from tenure.cli.output import FAILED, Output, run


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "longer than it may"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
    ],
)
def test_what_the_system_cannot_do_is_told_in_words(
    capsys: pytest.CaptureFixture[str], error: OSError, words: str
) -> None:
    async def work() -> None:
        raise error

    with pytest.raises(typer.Exit) as ended:
        run(Output(True), work())
    assert ended.value.exit_code == FAILED
    said = json.loads(capsys.readouterr().out)["error"]
    assert said["reason"] == "SYSTEM_ERROR"
    assert words in said["message"]
