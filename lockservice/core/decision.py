"""What a decision is: an answer, or one guarded Txn whose success is the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from lockservice.etcd.txn import Compare, Op
from tenure.errors import TenureError
from tenure.value import value

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")
U = TypeVar("U")


@value
class Reply(Generic[T_co]):
    """Nothing is to be written."""

    value: T_co


@value
class Refuse:
    """Nothing may be written."""

    error: TenureError


@value
class Write(Generic[T_co]):
    """If all of `compares` hold do `ops`; `then` makes the answer from the revision at which they were done.

    Every Write changes something that its own compares forbid to have changed. So at most one of several
    copies of it is ever applied, and sending the identical one again after an unclear outcome is safe.
    """

    compares: tuple[Compare, ...]
    ops: tuple[Op, ...]
    then: Callable[[int], T_co]


Decision = Reply[T] | Refuse | Write[T]


def also(decision: Decision[T], effect: Callable[[T], None]) -> Decision[T]:
    """The same decision, which has a further effect once its Txn, should it be a Write, was applied."""
    if not isinstance(decision, Write):
        return decision
    then = decision.then

    def then_also(revision: int) -> T:
        value = then(revision)
        effect(value)
        return value

    return Write(decision.compares, decision.ops, then_also)


def mapped(decision: Decision[T], change: Callable[[T], U]) -> Decision[U]:
    """The same decision with another form of its answer."""
    if isinstance(decision, Reply):
        return Reply(change(decision.value))
    if isinstance(decision, Write):
        then = decision.then
        return Write(decision.compares, decision.ops, lambda revision: change(then(revision)))
    return decision
