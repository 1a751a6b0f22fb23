"""A record's own text is the one that every document has."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockservice.core.document import Unreadable, _Made, decode, encode
from lockservice.core.record import Holding, Origin, Record, State
from lockservice.core.record_text import encode_record

OF: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=20),
    str | None: st.none() | st.text(max_size=20),
    int: st.integers(0, 2**53),
    bool: st.booleans(),
    State: st.sampled_from(State),
    Origin: st.sampled_from(Origin),
}


def any_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    """With each field either given or left at its default."""
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for field in dataclasses.fields(kind):
        given_later = optional if field.default is not dataclasses.MISSING else required
        given_later[field.name] = OF[typing.get_type_hints(kind)[field.name]]
    return st.fixed_dictionaries(required, optional=optional).map(lambda known: kind(**known))


OF[Holding | None] = st.none() | any_of(Holding)


@given(any_of(Record))
def test_a_record_is_written_as_any_document_is(record: Record) -> None:
    assert encode_record(record) == encode(record)


@pytest.mark.parametrize("kind", [Record, Holding])
def test_no_field_is_forgotten(kind: type[Any]) -> None:
    other = {str: 'é"\\\n', str | None: "", int: 7, bool: True, State: State.HELD, Origin: Origin.RETRY}
    hints = typing.get_type_hints(kind)
    values = {field.name: other.get(hints[field.name]) for field in dataclasses.fields(kind)}
    record = made(kind, values)
    assert encode_record(record) == encode(record)
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setattr("lockservice.core.document._made", _Made())
        assert decode(Record, encode_record(record)) == record


def made(kind: type[Any], values: dict[str, Any]) -> Record:
    """A record that has, or is held by, what has these."""
    if kind is Record:
        return Record(**values)
    return Record(state=State.HELD, epoch=0, since_ms=0, as_sent="", holding=Holding(**values))


def test_what_was_written_is_remembered_as_it_was() -> None:
    record = Record(state=State.AVAILABLE, epoch=1, since_ms=2, as_sent="alice")
    assert decode(Record, encode_record(record)) is record
    with pytest.raises(Unreadable):
        decode(Holding, encode_record(record))
