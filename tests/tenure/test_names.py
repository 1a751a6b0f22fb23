import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenure import names, token
from tenure.errors import InvalidField, InvalidId, PermissionDenied
from tenure.names import ProfileName, canonical_id

ASCII = "".join(map(chr, range(128)))
SAFE = string.ascii_letters + string.digits + "_.-"

typed_ids = (
    st.text(ASCII, min_size=1, max_size=names.MAX_ID_LENGTH)
    .filter(lambda t: not t.startswith("."))
    .filter(lambda t: any(c in SAFE and c != "_" for c in t))
)


@given(typed_ids)
def test_a_canonical_id_is_safe_as_one_path_component(typed: str) -> None:
    canonical = canonical_id(typed)
    assert set(canonical) <= set(SAFE)
    assert not canonical.startswith(".")
    assert len(canonical) == len(typed)


@given(typed_ids)
def test_canonical_ids_are_fixed_points(typed: str) -> None:
    assert canonical_id(canonical_id(typed)) == canonical_id(typed)


@given(st.text(SAFE.replace(".", ""), min_size=1, max_size=128).filter(lambda t: t.strip("_")))
def test_safe_characters_survive_verbatim(typed: str) -> None:
    assert canonical_id(typed) == typed


@given(st.text(ASCII, max_size=20), st.characters(min_codepoint=128), st.text(ASCII, max_size=20))
def test_anything_outside_ascii_is_refused(before: str, char: str, after: str) -> None:
    with pytest.raises(InvalidId):
        canonical_id(before + char + after)


@given(st.text(ASCII + "é", max_size=140))
def test_every_text_has_a_canonical_form_or_a_precise_refusal(text: str) -> None:
    try:
        canonical_id(text, "profile")
    except InvalidId as error:
        said = str(error)
    else:
        return
    assert said.startswith("profile '")
    assert "; " in said


def test_both_spellings_of_the_seed_are_one_profile() -> None:
    assert canonical_id("alice:linkedin") == canonical_id("alice_linkedin") == "alice_linkedin"


@pytest.mark.parametrize("bad", ["", ".", "..", ".hidden", "_", "::", "/", "x" * 129, "x" * 300])
def test_ids_that_cannot_be_folded_safely_are_refused(bad: str) -> None:
    with pytest.raises(InvalidId) as caught:
        canonical_id(bad, "workflow_id")
    assert str(caught.value).startswith("workflow_id '")


@pytest.mark.parametrize(
    "text", ["alice:linkedin", "tenants/-/profiles/alice:linkedin", "tenants/acme/profiles/alice:linkedin"]
)
def test_an_id_and_a_full_name_resolve_to_one_profile(text: str) -> None:
    name = names.resolve_profile(text, "acme")
    assert name == ProfileName("acme", "alice_linkedin")
    assert str(name) == "tenants/acme/profiles/alice_linkedin"
    assert name.as_sent == "alice:linkedin"


def test_a_name_in_another_tenant_is_denied_before_anything_is_looked_up() -> None:
    with pytest.raises(PermissionDenied):
        names.resolve_profile("tenants/other/profiles/alice", "acme")


def test_tenant_ids_that_fold_to_the_callers_are_the_callers() -> None:
    assert names.resolve_profile("tenants/a:b/profiles/p", "a_b").tenant == "a_b"


@pytest.mark.parametrize(
    "bad",
    [
        "tenants/-",
        "tenants/-/profiles",
        "tenants/-/profiles/a/b",
        "tenants/-/workers/a",
        "tenants//profiles/a",
        "tenants/-/profiles/..",
        "tenants/-/profiles/a/sessions/5",
    ],
)
def test_malformed_profile_names_are_refused(bad: str) -> None:
    with pytest.raises(InvalidId):
        names.resolve_profile(bad, "acme")


@given(typed_ids.filter(lambda t: "/" not in t), st.integers(1, token.MAX_REVISION))
def test_session_names_read_back(profile: str, revision: int) -> None:
    name = names.SessionName(names.resolve_profile(f"tenants/-/profiles/{profile}", "t"), revision)
    assert names.resolve_session(str(name), "t") == name


@given(typed_ids.filter(lambda t: "/" not in t), st.integers(1, token.MAX_REVISION))
def test_incident_names_read_back(profile: str, revision: int) -> None:
    name = names.IncidentName(names.resolve_profile(f"tenants/-/profiles/{profile}", "t"), revision)
    assert names.resolve_incident(str(name), "t") == name
    with pytest.raises(PermissionDenied):
        names.resolve_incident(str(name), "u")


@pytest.mark.parametrize("bad", ["0", "-1", "007", "x", "", "9" * 17, str(1 << 53)])
def test_session_names_that_do_not_end_in_a_token_are_refused(bad: str) -> None:
    with pytest.raises(InvalidId):
        names.resolve_session(f"tenants/t/profiles/p/sessions/{bad}", "t")
    with pytest.raises(InvalidId):
        names.resolve_incident(f"tenants/t/profiles/p/incidents/{bad}", "t")


@given(typed_ids.filter(lambda t: "/" not in t), st.integers(1, token.MAX_REVISION))
def test_the_names_of_evidence_read_back(profile: str, revision: int) -> None:
    incident = names.IncidentName(names.resolve_profile(f"tenants/-/profiles/{profile}", "t"), revision)
    item = names.resolve_evidence(f"{incident}/evidence/000012-url", "t")
    assert (item.incident, item.item) == (incident, "000012-url")
    assert names.resolve_evidence(str(item), "t") == item
    with pytest.raises(PermissionDenied):
        names.resolve_evidence(str(item), "u")


@pytest.mark.parametrize(
    "bad",
    [
        "5",
        "5/evidence",
        "5/evidence/",
        "5/evidence/a/b",
        "5/evidence/..",
        "5/evidence/a b",
        "0/evidence/a",
        "",
    ],
)
def test_malformed_evidence_names_are_refused(bad: str) -> None:
    with pytest.raises(InvalidId, match="evidence"):
        names.resolve_evidence(f"tenants/t/profiles/p/incidents/{bad}", "t")


def test_workers_and_hosts_are_taken_by_name_and_by_bare_id() -> None:
    assert names.worker_id("workers/w1") == names.worker_id("w1") == "w1"
    assert names.host_id("hosts/h1") == names.host_id("h1") == "h1"
    with pytest.raises(InvalidId, match="worker"):
        names.worker_id("workers/")


def test_a_parent_is_the_callers_tenant_or_denied() -> None:
    assert names.check_parent("", "t") == names.check_parent("tenants/-", "t") == "t"
    with pytest.raises(PermissionDenied):
        names.check_parent("tenants/u", "t")
    with pytest.raises(InvalidId):
        names.check_parent("t", "t")


@pytest.mark.parametrize(
    ("city", "state", "key"),
    [
        ("", "", ""),
        ("miami", "fl", "miami__fl"),
        ("Miami", " FL ", "miami__fl"),
        ("New  York\t", "NY", "new york__ny"),
        ("st_louis", "mo", "st_louis__mo"),
    ],
)
def test_a_proxys_key_is_one_however_its_words_are_written(city: str, state: str, key: str) -> None:
    assert names.proxy_key(city, state) == key
    assert names.check_proxy_key(key) == key
    assert names.check_proxy_key(f"{city}__{state}" if key else "") == key
    assert names.proxy_words(key) == (tuple(key.split("__")) if key else ("", ""))


@pytest.mark.parametrize(
    ("city", "state"),
    [
        ("miami", ""),
        ("", "fl"),
        (" ", " "),
        ("a__b", "c"),
        ("a", "_b"),
        ("..", "x"),
        ("a/b", "c"),
        ("x" * 65, "y"),
        ("\u212a", "fl"),
        ("m\u00fcnchen", "by"),
        ("a\n\x00", "b"),
    ],
)
def test_half_a_proxy_and_what_is_no_word_is_never_the_wish_for_none(city: str, state: str) -> None:
    with pytest.raises(InvalidField, match=r"proxy\.(city|state)"):
        names.proxy_key(city, state)
    with pytest.raises(InvalidField, match="proxy_key"):
        names.check_proxy_key(f"{city}__{state}")


@pytest.mark.parametrize("key", ["__", "x", "miami__", "__fl", " ", "a__b__c"])
def test_a_key_that_another_made_is_checked_as_ones_own(key: str) -> None:
    with pytest.raises(InvalidField, match="city"):
        names.check_proxy_key(key)
