"""Which tests show what happens without the protocol's rules, and which mutants bring it about.

The protocol of hold, fence and recovery ends in a table of traces: what goes wrong without a rule. Each is a
test that holds while the rule is kept, and a mutant: the same events with the rule's guard removed, which
must go wrong as the trace says. A test whose mutant runs inside of it, as a parameter, is named twice.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent
WAITING = "integration/test_trace_waiting.py"
ENDING = "integration/test_trace_ending.py"
WRITES = "integration/test_trace_writes.py"
INCIDENT = "integration/test_trace_incident.py"
RESTORE = "integration/test_restore.py"
IMPLICIT = "integration/test_hold_implicit.py"
WATCH = "integration/test_hold_watch.py"
MOVE = "lockservice/test_move.py"
RELEASED = "browserhost/test_trace_released.py"
TWO_HOSTS = "browserhost/test_trace_two_hosts.py"
DEADLINE = "browserhost/test_trace_deadline.py"
LATE = "browserhost/test_trace_late_quarantine.py"
REBOOTED = "browserhost/test_trace_rebooted_host.py"


class Shown(NamedTuple):
    """Where it is shown: the test, and the mutant of it."""

    file: str
    test: str
    mutant: str


TRACES: dict[int, tuple[str, tuple[Shown, ...]]] = {
    1: (
        "an Acquire retried after its first copy was granted, used and released gets a second grant",
        (
            Shown(
                WAITING,
                "test_1_a_late_copy_of_an_acquire_is_over",
                "test_1_mutant_without_k_grants_the_late_copy",
            ),
            Shown(
                IMPLICIT,
                "test_trace_1_also_when_its_worker_is_forgotten",
                "test_trace_1_mutant_that_takes_ids_of_any_age_grants_a_copy_that_is_days_late",
            ),
        ),
    ),
    2: (
        "the caller of a waiting Acquire vanishes while its worker lives: granted to nobody, for ever",
        (
            Shown(
                WAITING,
                "test_2_a_renewal_tells_of_the_hold_that_nobody_heard_of",
                "test_2_mutant_whose_renewals_are_silent_holds_for_ever",
            ),
            Shown(
                WATCH,
                "test_a_run_past_its_time_is_suspect_though_its_worker_lives",
                "test_mutant_without_anybody_watching_holds_for_ever",
            ),
        ),
    ),
    3: (
        'JOIN decided on "busy" and Release on "queue empty" both apply: a lost waiter',
        (
            Shown(
                WAITING,
                "test_3_join_and_release_see_each_other",
                "test_3_mutant_loses_the_waiter_of_a_free_profile",
            ),
        ),
    ),
    4: (
        "recovery frees a profile with waiters: they sleep for ever",
        (
            Shown(
                WAITING,
                "test_4_a_parked_waiter_is_granted_when_recovery_frees",
                "test_4_mutant_without_level_trigger_sleeps_on",
            ),
        ),
    ),
    5: (
        "RESUME_PENDING's workflow queues behind others: deadlock",
        (
            Shown(
                WAITING,
                "test_5_the_workflow_that_resumes_overtakes_the_queue",
                "test_5_mutant_that_queues_everybody_deadlocks",
            ),
            Shown(
                INCIDENT,
                "test_5_a_workflow_that_does_not_come_in_time_is_a_persons_to_decide",
                "test_5_mutant_without_anybody_watching_waits_for_ever",
            ),
        ),
    ),
    6: (
        "a worker id that comes back: never suspected, or the dead owner let in again",
        (
            Shown(
                ENDING,
                "test_6_the_dead_owner_is_not_let_in_again_and_can_be_suspected",
                "test_6_mutant_never_suspects_it_and_lets_it_in",
            ),
        ),
    ),
    7: (
        "two hosts both verify one token: two Chromes; or a home change overtakes a late verify",
        (
            Shown(
                WRITES,
                "test_7_a_token_is_current_for_its_home_alone",
                "test_7_mutant_that_does_not_ask_for_the_home_lets_two_hosts_start_chrome",
            ),
            Shown(
                TWO_HOSTS,
                "test_a_token_whose_home_is_elsewhere_starts_no_browser",
                "test_mutant_a_verdict_that_nobody_heeds_starts_one",
            ),
            Shown(
                TWO_HOSTS,
                "test_an_answer_that_a_later_hold_has_overtaken_lets_nobody_in",
                "test_mutant_a_floor_that_is_not_checked_again_serves_both",
            ),
            Shown(
                TWO_HOSTS,
                "test_two_hosts_that_both_got_a_proof_start_one_browser",
                "test_mutant_without_the_lock_they_start_two",
            ),
            Shown(
                RELEASED,
                "test_a_home_that_was_retired_meanwhile_serves_no_late_answer",
                "test_mutant_a_floor_that_is_not_checked_again_serves_at_a_retired_home",
            ),
            Shown(
                MOVE,
                "test_a_move_that_was_overtaken_does_not_apply_and_without_its_compare_does",
                "test_a_move_that_was_overtaken_does_not_apply_and_without_its_compare_does",
            ),
        ),
    ),
    8: (
        "released at the lock service, still served by the host until its deadline",
        (
            Shown(
                WRITES,
                "test_8_a_profile_with_a_home_is_released_only_through_it",
                "test_8_mutant_grants_the_profile_while_the_host_still_has_its_proof",
            ),
            Shown(
                RELEASED,
                "test_a_close_is_acknowledged_once_nothing_of_the_token_is_served",
                "test_mutant_a_close_that_leaves_the_floor_serves_on_until_the_proof_is_old",
            ),
        ),
    ),
    9: (
        "deadline counted from the reply, or the wait shorter than the deadline: executed after QUARANTINED",
        (
            Shown(
                DEADLINE,
                "test_nothing_is_executed_once_recovery_has_waited_for_it",
                "test_mutant_a_deadline_counted_from_the_reply_executes_after_quarantined",
            ),
            Shown(
                DEADLINE,
                "test_nothing_is_executed_once_recovery_has_waited_for_it",
                "test_mutant_a_deadline_not_asked_for_at_dispatch_executes_after_quarantined",
            ),
            Shown(
                RELEASED,
                "test_recovery_waits_longer_than_any_host_serves",
                "test_mutant_a_wait_of_just_the_deadline_is_shorter_by_a_slow_clock",
            ),
        ),
    ),
    10: (
        "a verify answer arrives after Quarantine raised the floor; a late Quarantine lowers it",
        (
            Shown(
                LATE,
                "test_an_answer_that_a_quarantine_has_overtaken_lets_nobody_in",
                "test_mutant_a_floor_that_is_not_checked_again_lets_the_old_worker_in",
            ),
            Shown(
                LATE,
                "test_an_open_is_drained_before_the_acknowledgement",
                "test_mutant_an_acknowledgement_without_a_drain_is_given_while_chrome_is_driven",
            ),
            Shown(
                LATE,
                "test_a_late_quarantine_touches_no_later_hold",
                "test_mutant_a_cut_that_does_not_look_at_the_token_ends_the_later_hold",
            ),
            Shown(
                LATE,
                "test_a_floor_on_disk_never_sinks",
                "test_mutant_a_floor_that_is_simply_written_sinks_and_admits_what_was_over",
            ),
            Shown(
                INCIDENT,
                "test_10_a_late_quarantine_never_touches_a_later_hold",
                "test_10_mutant_that_does_not_compare_p_ends_the_later_hold",
            ),
        ),
    ),
    11: (
        "a host frozen between check and dispatch wakes after the verdict",
        (
            Shown(
                INCIDENT,
                "test_11_nothing_unacknowledged_is_freed_without_proof_that_the_old_browser_is_gone",
                "test_11_mutant_frees_what_a_frozen_host_may_still_drive",
            ),
        ),
    ),
    12: (
        "a rebooted host starts Chrome on a crashed profile that nobody inspected",
        (
            Shown(
                REBOOTED,
                "test_a_hold_that_a_reboot_cut_in_two_is_an_incident_and_drives_nothing",
                "test_mutant_a_host_that_does_not_recover_reports_nothing",
            ),
            Shown(
                REBOOTED,
                "test_a_later_hold_starts_only_after_a_look",
                "test_mutant_an_end_taken_to_be_clean_starts_chrome_unseen",
            ),
            Shown(
                REBOOTED,
                "test_an_unclean_profile_that_no_decision_freed_is_refused",
                "test_mutant_a_look_that_decides_nothing_starts_it",
            ),
        ),
    ),
    13: (
        'a late write of step 1 hides "checkout"',
        (
            Shown(
                WRITES,
                "test_13_a_late_step_one_hides_nothing",
                "test_13_mutant_that_takes_the_last_write_for_the_last_step_loses_the_checkout",
            ),
        ),
    ),
    14: (
        "a lost Release reply is read as success though an incident decided",
        (
            Shown(
                ENDING,
                "test_14_a_hold_lost_to_an_incident_is_not_called_released",
                "test_14_mutant_without_the_incident_calls_it_released",
            ),
        ),
    ),
    15: (
        "waiting calls fill every handler, so Cancel and Release are never picked up",
        (
            Shown(
                ENDING,
                "test_15_release_and_cancel_get_past_thousands_of_waits",
                "test_15_mutant_with_a_shared_limit_never_picks_the_release_up",
            ),
        ),
    ),
    16: (
        "a restored backup issues an old token again",
        (
            Shown(
                ENDING,
                "test_16_a_restored_store_is_served_only_with_a_higher_epoch",
                "test_16_a_restored_store_is_served_only_with_a_higher_epoch",
            ),
            Shown(
                RESTORE,
                "test_a_restored_backup_is_served_by_nobody_before_the_epoch_is_raised",
                "test_mutant_without_the_log_a_restore_at_the_same_address_goes_unnoticed",
            ),
        ),
    ),
}


def functions(file: str) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """The tests of a file, by name."""
    tree = ast.parse((ROOT / file).read_text())
    return {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_every_trace_is_shown() -> None:
    assert list(TRACES) == list(range(1, 17))
    assert all(tests for _, tests in TRACES.values())


@pytest.mark.parametrize("trace", [each for _, tests in TRACES.values() for each in tests])
def test_what_shows_a_trace_is_there_and_has_its_mutant(trace: Shown) -> None:
    found = functions(trace.file)
    test, mutant = found[trace.test], found[trace.mutant]
    if test is mutant:
        # It is told which of the two it is.
        assert "mutant" in [argument.arg for argument in test.args.args]
    else:
        assert "mutant" in mutant.name
