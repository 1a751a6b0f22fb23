"""Settings of a service: TENURE_* variables and --flags, checked together at the start.

A flag wins over the environment, which wins over the default. Every problem is reported
at once, each with the setting, the value and the remedy, and the exit status is 2. Every
value arrives as text: a field of a type that pydantic does not read from text brings its
own `BeforeValidator`. (Plain pydantic on purpose: pydantic-settings adds 0.3 s to a
start, and reports flags and variables separately.)
"""

from __future__ import annotations

import argparse
import ipaddress
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from servicekit.logs import Format, Level

ENV_PREFIX = "TENURE_"
EXIT_BAD_SETTINGS = 2


def check_address(text: str) -> str:
    """Return `host:port` when it is one. Raises ValueError with the remedy."""
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError("is not host:port")
    if not port.isdecimal() or int(port) > 65535:
        raise ValueError("has no port between 0 and 65535")
    return text


def check_loopback(text: str) -> str:
    """Return `host:port` when only this machine can connect to it."""
    host = check_address(text).rpartition(":")[0].strip("[]")
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if not is_loopback:
        raise ValueError(
            "can be reached from other machines, and no credentials are configured: "
            "use 127.0.0.1 and reach it through a tunnel"
        )
    return text


Address = Annotated[str, AfterValidator(check_address)]
LoopbackAddress = Annotated[str, AfterValidator(check_loopback)]


class ServiceSettings(BaseModel):
    """What every service has. Subclasses add fields, each with a description and examples."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    listen: LoopbackAddress = Field(
        default="127.0.0.1:0",
        description="address to serve gRPC on; port 0 takes a free one",
        examples=["127.0.0.1:7433"],
    )
    ready_fd: int | None = Field(
        default=None,
        ge=0,
        description="descriptor to write one JSON line with the address to, once ready",
        examples=["3"],
    )
    grace_s: float = Field(
        default=5.0,
        ge=0,
        le=600,
        description="seconds that running calls get to finish when the service stops",
        examples=["5"],
    )
    log_level: Level = Field(default="info", description="debug, info, warning or error", examples=["info"])
    log_format: Format = Field(
        default="auto", description="json, text, or auto: text on a terminal", examples=["json"]
    )


Settings = TypeVar("Settings", bound=ServiceSettings)


def load(kind: type[Settings], argv: Sequence[str], environ: Mapping[str, str], program: str) -> Settings:
    """Return the settings. Exits 2 naming every problem, and 0 after --help."""
    given = {k: v for k, v in vars(_parser(kind, program).parse_args(argv)).items() if v is not None}
    values = {
        name: environ[_variable(name)] for name in kind.model_fields if environ.get(_variable(name), "") != ""
    }
    try:
        return kind(**{**values, **given})
    except ValidationError as error:
        _exit_with(kind, error, given, program)


def _parser(kind: type[ServiceSettings], program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description=kind.__doc__,
        epilog="A flag wins over its variable. All settings are checked before anything starts.",
        allow_abbrev=False,
    )
    for name, field in kind.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "required" if field.is_required() else f"default: {'none' if default is None else default}"
        parser.add_argument(
            _flag(name),
            dest=name,
            metavar="VALUE",
            help=f"{field.description} ({shown}; {_variable(name)})".replace("%", "%%"),
        )
    return parser


def _exit_with(
    kind: type[ServiceSettings], error: ValidationError, given: Mapping[str, Any], program: str
) -> NoReturn:
    problems = error.errors(include_url=False, include_context=False)
    lines = [f"{program} cannot start; wrong settings: {len(problems)}"]
    for problem in problems:
        name = str(problem["loc"][0]) if problem["loc"] else ""
        said = problem["msg"].removeprefix("Value error, ")
        if name not in kind.model_fields:
            lines.append(f"  {said}")
            continue
        source = _flag(name) if name in given else _variable(name)
        value = "" if problem["type"] == "missing" else f" '{_shown(problem['input'])}'"
        lines.append(f"  {source}{value}: {said}{_remedy(name, kind.model_fields[name])}")
    lines.append(f"Run `{program} --help` for all settings.")
    print("\n".join(lines), file=sys.stderr)
    sys.exit(EXIT_BAD_SETTINGS)


def _shown(value: object) -> str:
    """A value without the credentials that an address in it may have: this goes into logs."""
    return re.sub(r"//\S*@", "//…@", str(value))


def _remedy(name: str, field: FieldInfo) -> str:
    example = f"; for example {_flag(name)} {field.examples[0]}" if field.examples else ""
    return f" ({field.description}{example})"


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _variable(name: str) -> str:
    return ENV_PREFIX + name.upper()
