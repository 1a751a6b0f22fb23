"""Logs: one structured line an event on stderr, with the call's request id in it.

JSON for machines, coloured text for people; `auto` means text on a terminal. Lines of
other libraries take the same way.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

from servicekit import call

Format = Literal["auto", "json", "text"]
Level = Literal["debug", "info", "warning", "error"]


def configure(service: str, level: Level, form: Format) -> None:
    """Send all logs of this process to stderr. Call it once, in main."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        call.add_to_log,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(service),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(form),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=threshold, force=True)
    # asyncio's debug lines and grpc's chatter tell about the loop, not about the service.
    logging.getLogger("asyncio").setLevel(max(threshold, logging.WARNING))


def _named(service: str) -> structlog.typing.Processor:
    def add(logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        del logger, method
        event.setdefault("service", service)
        return event

    return add


def _rendering(form: Format) -> list[structlog.typing.Processor]:
    if form == "json" or (form == "auto" and not sys.stderr.isatty()):
        return [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
