"""Patterns of sensitive steps and pages. Pure.

In doubt a name or an address is taken apart rather than not: a match only means that a person looks.
"""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit

MAX_PATTERN = 200
MAX_URL = 2000
"""An address of this many characters may have been cut, so that it cannot be told what it leads to."""

_STAR = "*"
_OTHER_WILDCARDS = re.compile(r"[?\[\]{}\\]")
# `placeOrder`, `HTTPOrder`, `enable2FA` and `2Factor` are two words each; `2FA` is one.
_CAMEL = re.compile(
    r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Z][a-z])"
)
_NO_WORD = re.compile(r"[\W_]+")
_NO_PATTERN_WORD = re.compile(r"[^\w*]+|_+")
_BETWEEN_PARTS = re.compile(r"[/?&=#;!]+")
_HOST = re.compile(r"[\w.*:-]+")


class BadPattern(ValueError):
    """A pattern that means nothing: `problem` and `remedy` are clauses without a full stop."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Glob:
    """One word or part of a pattern; `*` stands for any characters, none too."""

    regex: re.Pattern[str]

    @classmethod
    def of(cls, text: str) -> Self:
        return cls(re.compile(fnmatch.translate(text)))

    def matches(self, text: str) -> bool:
        return self.regex.match(text) is not None


@dataclass(frozen=True, slots=True)
class StepPattern:
    """Words that stand in a step's name one after another."""

    text: str
    words: tuple[Glob, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises BadPattern."""
        _check(text)
        found = [word for word in _NO_PATTERN_WORD.split(_folded(text)) if word]
        if not found:
            raise BadPattern("has no word in it", 'write words, for example "checkout" or "delet*"')
        return cls(text, tuple(map(Glob.of, found)))

    def matches(self, name: str) -> bool:
        return _in_a_row(self.words, words(name))


@dataclass(frozen=True, slots=True)
class UrlPattern:
    """A host, and parts that stand in what follows it one after another."""

    text: str
    hosts: tuple[Glob, ...]
    parts: tuple[Glob, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises BadPattern."""
        _check(text)
        if "://" in text:
            raise BadPattern("has a scheme", "leave it out: every scheme is meant")
        host, _, rest = text.casefold().partition("/")
        if not host or _HOST.fullmatch(host) is None:
            raise BadPattern(
                "begins with no host", 'write HOST/PART, for example "*/checkout" or "bank.example"'
            )
        if ":" in host:
            raise BadPattern("has a port", "leave it out: every port is meant")
        hosts = [host, host[2:]] if host.startswith("*.") and len(host) > 2 else [host]
        parts = [part for part in _BETWEEN_PARTS.split(rest) if part]
        return cls(text, tuple(map(Glob.of, hosts)), tuple(map(Glob.of, parts)))

    def matches(self, url: str) -> bool:
        """Whether a page is meant; its address must be `readable`."""
        host = (urlsplit(url).hostname or "").rstrip(".").casefold()
        if not any(glob.matches(host) for glob in self.hosts):
            return False
        return _in_a_row(self.parts, _parts(url))


def words(name: str) -> list[str]:
    """The words of a step's name; none when it says nothing."""
    return [word for word in _NO_WORD.split(_folded(name)) if word]


def readable(url: str) -> bool:
    """Whether it can be told where an address leads: it is whole, and follows the form.

    A witness that cuts an address ends it so; Chrome writes that character as %E2%80%A6.
    """
    try:
        urlsplit(url)
    except ValueError:
        return False
    return len(url) < MAX_URL and not url.endswith("…")


def is_blank(url: str) -> bool:
    """Whether it is Chrome's empty page, on which nothing can be done to an account."""
    return url in ("", "about:blank")


def shown(url: str) -> str:
    """An address as a reason may name it: without query and fragment, which may hold secrets."""
    plain = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, separator, rest = plain.partition("://")
    authority, slash, path = rest.partition("/")
    text = f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}" if separator else plain
    return text if len(text) <= MAX_PATTERN else text[: MAX_PATTERN - 1] + "…"


def _check(text: str) -> None:
    if not text.strip():
        raise BadPattern("is empty", "write a pattern or take it out")
    if len(text) > MAX_PATTERN:
        raise BadPattern("is too long", f"use at most {MAX_PATTERN} characters")
    if text != text.strip() or not text.isprintable():
        raise BadPattern("has white space at an end, or a character that cannot be seen", "take it out")
    if _OTHER_WILDCARDS.search(text):
        raise BadPattern("has one of ? [ ] { } \\", "the only wildcard is *")


def _folded(text: str) -> str:
    """A name with its words apart, in one case; full-width letters and the like are the plain ones."""
    return _CAMEL.sub(" ", unicodedata.normalize("NFKC", text)).casefold()


def _parts(url: str) -> list[str]:
    """What follows the host, cut into parts, each as a person would read it."""
    split = urlsplit(url)
    rest = unquote(f"{split.path}?{split.query}#{split.fragment}").casefold()
    return [part for part in _BETWEEN_PARTS.split(rest) if part] or [""]


def _in_a_row(globs: tuple[Glob, ...], texts: list[str]) -> bool:
    """Whether the globs match texts that follow one another."""
    return any(
        all(glob.matches(text) for glob, text in zip(globs, texts[at:], strict=False))
        for at in range(len(texts) - len(globs) + 1)
    )
