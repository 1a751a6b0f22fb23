import contextvars
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from servicekit import call, logs


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_is_json_with_service_level_time_and_the_call_that_it_is_about(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("sample", "info", "json")

    def serve() -> None:
        call.begin({call.REQUEST_ID_KEY: "r1"}, "/tenure.v1.SystemService/GetServerInfo")
        structlog.get_logger("part").info("opened", profile="tenants/t/profiles/p")

    contextvars.copy_context().run(serve)
    line = json.loads(capsys.readouterr().err)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "opened",
        "level": "info",
        "logger": "part",
        "method": "/tenure.v1.SystemService/GetServerInfo",
        "profile": "tenants/t/profiles/p",
        "request_id": "r1",
        "service": "sample",
    }


def test_other_libraries_lines_take_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("sample", "info", "json")
    logging.getLogger("aiohttp").warning("slow %s", "peer")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["logger"], line["service"]) == ("slow peer", "aiohttp", "sample")


def test_an_exception_is_in_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("sample", "info", "json")
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        structlog.get_logger().exception("failed")
    assert "RuntimeError: boom" in json.loads(capsys.readouterr().err)["exception"]


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("sample", "warning", "text")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    said = capsys.readouterr().err
    assert "quiet" not in said
    assert "loud" in said
