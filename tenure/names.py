"""Ids and resource names: what a caller may type, and the one canonical form of it.

Pure. Every id of a profile, tenant or workflow goes through `canonical_id`: each
character outside `A-Za-z0-9_.-` becomes `_`, so `alice:linkedin` and `alice_linkedin`
are one profile, one lock, one queue. What cannot be folded safely is refused with
InvalidId, which names the field, the value and the remedy. Keys of proxies are made canonical here too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tenure import token
from tenure.errors import InvalidField, InvalidId, PermissionDenied
from tenure.value import value

MAX_ID_LENGTH = 128
OWN_TENANT = "-"

# Most ids are canonical as they come.
_CANONICAL = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{MAX_ID_LENGTH - 1}}}")
_OUTSIDE = re.compile(r"[^A-Za-z0-9_.-]")
_DIGITS = re.compile(r"[1-9][0-9]{0,15}")
# No `__`, nor a `_` at either end: `a` + `b__c` and `a__b` + `c` must not be one key.
_PROXY_WORD = re.compile(r"[a-z0-9]+(?:[ ._-][a-z0-9]+)*")
_BETWEEN = "__"
_LONGEST_WORD = 64


@value
class ProfileName:
    """`tenants/{tenant}/profiles/{profile}`, canonical; `as_sent` is the id as it was typed."""

    tenant: str
    profile: str
    as_sent: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"tenants/{self.tenant}/profiles/{self.profile}"


@dataclass(frozen=True, slots=True)
class SessionName:
    """`tenants/{tenant}/profiles/{profile}/sessions/{token}`: one session a hold."""

    profile: ProfileName
    fencing_token: int

    def __str__(self) -> str:
        return f"{self.profile}/sessions/{self.fencing_token}"


@dataclass(frozen=True, slots=True)
class IncidentName:
    """`tenants/{tenant}/profiles/{profile}/incidents/{token}`: named by the token that it ended."""

    profile: ProfileName
    fencing_token: int

    def __str__(self) -> str:
        return f"{self.profile}/incidents/{self.fencing_token}"


@dataclass(frozen=True, slots=True)
class EvidenceName:
    """`…/incidents/{token}/evidence/{item}`: one piece of an incident's evidence."""

    incident: IncidentName
    item: str

    def __str__(self) -> str:
        return f"{self.incident}/evidence/{self.item}"


def canonical_id(text: str, field: str = "id") -> str:
    """Return the canonical form of an id as typed. Idempotent.

    Raises InvalidId when the id is empty, longer than 128 characters, `.` or `..`, begins
    with a dot, has nothing but `_` left, or has a character outside ASCII (those would all
    fold together, and two accounts would become one profile).
    """
    if _CANONICAL.fullmatch(text):
        return text
    problem = _problem(text)
    if problem is not None:
        what, remedy = problem
        raise InvalidId(field=field, value=text, problem=what, remedy=remedy)
    return _OUTSIDE.sub("_", text)


def resolve_profile(text: str, tenant: str, field: str = "profile") -> ProfileName:
    """Return the profile that `text` names to a caller of `tenant`.

    `text` is an id as typed or a full resource name, whose tenant may be `-`.
    Raises InvalidId, or PermissionDenied for a name in another tenant.
    """
    if not text.startswith("tenants/"):
        return ProfileName(tenant, canonical_id(text, field), as_sent=text)
    parts = _split(text, field, "profiles")
    _check_tenant(parts[1], tenant, field)
    return ProfileName(tenant, canonical_id(parts[3], field), as_sent=parts[3])


def resolve_session(text: str, tenant: str, field: str = "session") -> SessionName:
    """Return the session that a full name says. Raises as `resolve_profile` does."""
    return SessionName(*_under_token(text, tenant, field, "sessions", "OpenSession answered it"))


def resolve_incident(text: str, tenant: str, field: str = "incident") -> IncidentName:
    """Return the incident that a full name says. Raises as `resolve_profile` does."""
    return IncidentName(*_under_token(text, tenant, field, "incidents", "ListIncidents lists it"))


def resolve_evidence(text: str, tenant: str, field: str = "evidence") -> EvidenceName:
    """Return the piece of evidence that a full name says. Raises as `resolve_profile` does."""
    *head, _, item = _split(text, field, "profiles", "incidents", "evidence")
    incident = resolve_incident("/".join(head), tenant, field)
    if canonical_id(item, field) != item:
        raise InvalidId(
            field=field,
            value=text,
            problem="does not end in the id of a piece of evidence",
            remedy="send a name as ListEvidence answered it",
        )
    return EvidenceName(incident, item)


def worker_id(text: str, field: str = "worker") -> str:
    """Return the id in `workers/{worker}`; the bare id is taken too. Raises InvalidId."""
    return canonical_id(text.removeprefix("workers/"), field)


def host_id(text: str, field: str = "host") -> str:
    """Return the id in `hosts/{host}`; the bare id is taken too. Raises InvalidId."""
    return canonical_id(text.removeprefix("hosts/"), field)


def proxy_key(city: str, state: str) -> str:
    """Return the key of a city's proxy, `{city}__{state}`; "" for no proxy, when both are empty. Idempotent.

    Upper and lower case are one, and so are one space and several. Raises InvalidField for one without the
    other, and for what is no word of ASCII letters and digits: a blank is not the wish for no proxy.
    """
    if not (city or state):
        return ""
    words = []
    for name, sent in (("proxy.city", city), ("proxy.state", state)):
        word = " ".join(sent.split()).lower()
        # Some letters of other scripts are ASCII once they are lower-case.
        if not sent.isascii() or len(word) > _LONGEST_WORD or not _PROXY_WORD.fullmatch(word):
            raise InvalidField(
                field=name,
                value=sent,
                problem="does not name a proxy" if sent else "is empty",
                remedy="send both city and state, in ASCII letters and digits, such as miami and fl",
            )
        words.append(word)
    return _BETWEEN.join(words)


def check_proxy_key(text: str, field: str = "proxy_key") -> str:
    """Return a key that another has made, as `proxy_key` makes it; "" is none. Raises InvalidField."""
    city, between, state = text.partition(_BETWEEN)
    try:
        if between and not (city or state):
            city = " "
        return proxy_key(city, state)
    except InvalidField as error:
        raise InvalidField(
            field=field,
            value=text,
            problem="is no key of a proxy",
            remedy="send {city}__{state}, such as miami__fl",
        ) from error


def proxy_words(key: str) -> tuple[str, str]:
    """Return the city and the state that a canonical key was made from."""
    city, _, state = key.partition(_BETWEEN)
    return city, state


def check_parent(text: str, tenant: str, field: str = "parent") -> str:
    """Return the tenant that `tenants/{tenant}` (or "", meaning the caller's own) names."""
    if not text:
        return tenant
    parts = text.split("/")
    if len(parts) != 2 or parts[0] != "tenants":
        raise InvalidId(field=field, value=text, problem="is not a tenant's name", remedy="send tenants/-")
    _check_tenant(parts[1], tenant, field)
    return tenant


def _problem(text: str) -> tuple[str, str] | None:
    """What is wrong with an id as typed, and the remedy; None when it is fine."""
    if not text:
        return "is empty", "send an id such as alice:linkedin"
    if len(text) > MAX_ID_LENGTH:
        return f"has {len(text)} characters", f"use at most {MAX_ID_LENGTH}"
    if not text.isascii():
        return "has a character outside ASCII", "spell it with A-Z, a-z, 0-9, _, . and -"
    if text.startswith("."):
        return "begins with a dot", "begin it with a letter or a digit"
    if not _OUTSIDE.sub("_", text).strip("_"):
        return "has nothing but _ left in its canonical form", "use a letter or a digit"
    return None


def _under_token(text: str, tenant: str, field: str, collection: str, where: str) -> tuple[ProfileName, int]:
    """The profile and the token of `tenants/{}/profiles/{}/{collection}/{token}`."""
    parts = _split(text, field, "profiles", collection)
    _check_tenant(parts[1], tenant, field)
    profile = ProfileName(tenant, canonical_id(parts[3], field), as_sent=parts[3])
    if not _DIGITS.fullmatch(parts[5]) or not token.is_token(int(parts[5])):
        raise InvalidId(
            field=field,
            value=text,
            problem="does not end in a fencing token",
            remedy=f"send the {collection[:-1]}'s name as {where}",
        )
    return profile, int(parts[5])


def _split(text: str, field: str, *collections: str) -> list[str]:
    """The parts of `tenants/{}/{collection}/{}…`, each collection at its place."""
    parts = text.split("/")
    if tuple(parts[0::2]) != ("tenants", *collections) or len(parts) != 2 + 2 * len(collections):
        shape = "tenants/{tenant}" + "".join(f"/{c}/{{{c.removesuffix('s')}}}" for c in collections)
        raise InvalidId(field=field, value=text, problem="is not a resource name", remedy=f"send {shape}")
    return parts


def _check_tenant(named: str, own: str, field: str) -> None:
    if named != OWN_TENANT and canonical_id(named, field) != own:
        raise PermissionDenied(
            f"{field} names a tenant that this credential does not belong to; write tenants/- for your own."
        )
