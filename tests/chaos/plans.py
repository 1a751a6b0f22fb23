"""The episodes of a whole run, and of a short one."""

from __future__ import annotations

from tests.chaos.episode import Plan

_MIB = 1024 * 1024

PLANS: tuple[Plan, ...] = (
    Plan(
        name="clients and replicas",
        faults=("kill a replica", "freeze a replica", "kill clients", "freeze clients", "cut connections"),
        operations=6000,
    ),
    Plan(
        name="members",
        faults=("kill a member", "freeze a member", "kill the leader", "freeze the leader", "compact"),
        operations=5000,
        together=1,
    ),
    Plan(
        name="partitions",
        faults=("partition a member", "partition the leader", "one-way partition", "split all three"),
        operations=5000,
        together=1,
    ),
    Plan(
        name="a bad network to etcd",
        faults=("delay", "lose one way", "cut connections", "compact"),
        operations=5000,
        together=3,
    ),
    Plan(
        name="the epoch is raised",
        faults=("raise the epoch", "freeze a replica", "kill a replica", "delay", "freeze clients"),
        operations=5000,
        together=2,
    ),
    Plan(
        name="a full disk",
        faults=("fill the disk", "compact", "cut connections"),
        operations=2500,
        together=1,
        quota=24 * _MIB,
    ),
    Plan(
        name="everything at once",
        faults=(
            *("kill a replica", "freeze a replica", "kill clients", "freeze clients"),
            *("kill a member", "freeze a member", "kill the leader", "freeze the leader"),
            *("partition a member", "partition the leader", "one-way partition"),
            *("delay", "lose one way", "cut connections", "compact", "raise the epoch"),
        ),
        operations=8000,
        together=3,
        profiles=6,
    ),
)

SHORT = Plan(
    name="short",
    faults=("kill a replica", "freeze clients", "kill the leader", "lose one way", "raise the epoch"),
    operations=500,
    together=2,
    crews=2,
)
"""For every change: real members and replicas, and a fault of each kind."""
