"""`tenure demo`: the main job, shown."""

from __future__ import annotations

from tenure.cli.output import Json, Output, run


def demo(as_json: Json = False) -> None:
    """Show the main job on a site of its own: sign in, reuse, refuse, wait, restart; then workers that die.

    A worker is stopped in the middle of a checkout, its evidence shown, its token refused when it
    wakes up, and a person decides; others are killed at harmless moments, and recovery decides.

    Starts the whole system in a folder of its own on free ports, with real etcd and real
    Chrome, checks every claim, and leaves nothing running. Exits 0 only if all held.
    Takes about half a minute and needs no network. The picture of the checkout is kept.
    """
    from tenure.demo.run import demonstrate

    output = Output(as_json)
    run(output, demonstrate(output))
