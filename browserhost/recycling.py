"""When a warm browser is not handed to the next hold but closed for a fresh one. Pure.

Asked at hand-over only: nobody's browser is closed under him for its age.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a browser is handed on: `age_s` seconds since its launch, `bytes` of memory; 0: no bound."""

    age_s: float = 0.0
    bytes: int = 0


def why(
    lifetime: Lifetime,
    *,
    age_s: float,
    size: int,
    config: tuple[int, int] = (0, 0),
    upstream: tuple[str, str] = ("", ""),
    chrome: tuple[str, str] = ("", ""),
) -> str:
    """Why it is not handed on, in words; empty when it is.

    `size` in bytes as last measured. `config`, `upstream` and `chrome` are each what it was launched with
    and what a launch now would have: the configuration's generation, what the proxy's key stands for, which
    program it is. An empty program is not known, and says nothing.
    """
    if config[0] != config[1]:
        return "its configuration was changed"
    if upstream[0] != upstream[1]:
        return "its proxy was changed"
    if all(chrome) and chrome[0] != chrome[1]:
        return "another Chrome was installed meanwhile"
    if lifetime.age_s and age_s > lifetime.age_s:
        return "it is old"
    if lifetime.bytes and size > lifetime.bytes:
        return "it takes much memory"
    return ""
