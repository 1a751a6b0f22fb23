"""Which rule forbids what: rule, trace of the protocol's table, and the part of the model that shows it."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.model.batch import Batch, BatchRefused
from tests.model.epoch import Epoch
from tests.model.explore import Model
from tests.model.fence import Fence
from tests.model.homes import Homes, HomesThatFail
from tests.model.incident import Incident
from tests.model.queue import Queue, QueueAgain, QueueHandedOver, QueueNotHandedOver, QueueOfThree
from tests.model.restart import Restart
from tests.model.restored import Restored
from tests.model.resume import Resume
from tests.model.slots import Slots
from tests.model.worker import Heartbeat, Return
from tests.model.writes import Release, Writes

PARTS: tuple[type[Model[Any]], ...] = (
    Queue,
    QueueAgain,
    QueueOfThree,
    QueueHandedOver,
    QueueNotHandedOver,
    Resume,
    Return,
    Heartbeat,
    Slots,
    Batch,
    BatchRefused,
    Writes,
    Release,
    Fence,
    Homes,
    HomesThatFail,
    Restored,
    Restart,
    Incident,
    Epoch,
)


class Shown(NamedTuple):
    """Without the rule this goes wrong in this part. `trace`: of the protocol's table; 0 for none of them."""

    part: type[Model[Any]]
    breaks: str
    trace: int = 0


class Rule(NamedTuple):
    says: str
    shown: tuple[Shown, ...]


LEFT_BEHIND = "a waiter is left behind"
TWO_CHROMES = "two Chromes on one profile"
AFTER_QUARANTINED = "executed after QUARANTINED"
AFTER_RELEASE = "executed after its release"
WAKES = "a frozen host wakes after the profile was freed"
OLD_TOKEN = "an old token is issued again"
UNDER_OWNER = "a directory is replaced under its owner"

# Named for the rule of the protocol that each is of.
RULES: dict[str, Rule] = {
    "rule1-compares-record": Rule(
        "every transition compares the record as it was seen",
        (Shown(Queue, "a hold is overwritten"),),
    ),
    "rule1-asks-in-order": Rule(
        "after an unclear outcome a look-up is ordered with all writes",
        (Shown(Release, "told 'not done', and then it was"),),
    ),
    "rule2-worker-alive": Rule(
        "a grant compares that its worker is alive",
        (Shown(QueueOfThree, "granted to the dead"),),
    ),
    "rule2-created-as-stored": Rule(
        "alive is who has the key that was there at the grant, not a key of that name",
        (Shown(Return, "never suspected", 6), Shown(Return, "the dead owner is let in again", 6)),
    ),
    "rule3-consumed": Rule(
        "k: a request id is used up once",
        (Shown(Queue, "granted twice", 1), Shown(QueueAgain, "granted after its cancellation")),
    ),
    "rule3-empty-queue": Rule(
        "a newcomer is granted only while nobody waits",
        (Shown(QueueOfThree, "overtakes the queue"),),
    ),
    "rule3-join-compares-head": Rule(
        "JOIN behind others on a free profile compares that the head is there yet",
        (Shown(QueueNotHandedOver, LEFT_BEHIND),),
    ),
    "rule3-join-compares-record": Rule(
        "JOIN compares the record that was seen busy", (Shown(QueueAgain, LEFT_BEHIND, 3),)
    ),
    "rule4-level": Rule(
        "whoever sees a free profile with a queue grants to its head: a level, not an edge",
        (Shown(QueueOfThree, "a waiter sleeps for ever", 4),),
    ),
    "rule5-ignores-the-queue": Rule(
        "the workflow that resumes ignores the queue",
        (Shown(Resume, "the workflow waits behind others, and they for it", 5),),
    ),
    "rule5-its-workflow-alone": Rule(
        "RESUME_PENDING is grantable to its workflow alone", (Shown(Resume, "handed to another workflow"),)
    ),
    "rule5-unclaimed-is-a-persons": Rule(
        "RESUME_PENDING ends in MANUAL_REVIEW when nobody comes in time",
        (Shown(Resume, "kept for ever for a workflow that does not come", 5),),
    ),
    "rule5-claim-compares-record": Rule(
        "a claim compares the record that was seen waiting for it",
        (Shown(Resume, "resumed after it was given to a person"),),
    ),
    "rule6-compares-head": Rule(
        "Release compares the head of the queue as read", (Shown(QueueAgain, LEFT_BEHIND, 3),)
    ),
    "rule6-through-the-host": Rule(
        "a hold with a browser is released only through its host, drained",
        (Shown(Fence, AFTER_RELEASE, 8),),
    ),
    "rule6-transfer-compares-token": Rule(
        "a hold goes to a named heir only as long as it is the hold that was to go",
        (Shown(QueueHandedOver, "given away after its end"),),
    ),
    "rule6-heir-is-alive": Rule(
        "a hold goes to a named heir only while the heir is alive",
        (Shown(QueueHandedOver, "granted to the dead"),),
    ),
    "rule6-heir-asks-once": Rule(
        "the heir's request id is used up with the transfer, which compares that it was not before",
        (Shown(QueueHandedOver, "granted after its cancellation"),),
    ),
    "rule10-drained-compares-token": Rule(
        "a hold that was drained for nobody is made suspect only as long as it is that hold",
        (Shown(QueueNotHandedOver, "a later hold is taken for it"),),
    ),
    "rule7-the-incident-tells": Rule(
        "p moved on and there is an incident: the hold was lost, not released",
        (Shown(Release, "told 'released', which it was not", 14),),
    ),
    "rule8-renewal-lists-holds": Rule(
        "renewals list the worker's holds; what it does not know is released",
        (Shown(Queue, "granted to nobody", 2),),
    ),
    "rule8-cancel-burns": Rule(
        "Cancel burns a request id that has no place and no hold",
        (Shown(QueueAgain, "granted after its cancellation"),),
    ),
    "rule9-each-step-once": Rule(
        "steps are appended, each number once", (Shown(Writes, "a late step hides the checkout", 13),)
    ),
    "rule9-compares-token": Rule(
        "an owner's write compares its token and its lease", (Shown(Writes, "accepted after suspicion"),)
    ),
    "rule9-no-evidence-after-the-decision": Rule(
        "the host's evidence is taken only while nothing is decided",
        (Shown(Writes, "evidence that nobody decided on"),),
    ),
    "rule11-from-sending": Rule(
        "a worker counts its deadline from sending the renewal",
        (Shown(Heartbeat, "works on after its lease has ended"),),
    ),
    "rule12-waits-outside-the-limit": Rule(
        "waiting calls are parked outside any limit of calls",
        (Shown(Slots, "Release is never picked up", 15),),
    ),
    "rule13-floor-on-disk": Rule(
        "the floor is on disk before anything is acknowledged", (Shown(Restart, "served after its release"),)
    ),
    "rule14-home-is-me": Rule("a token is current for its home alone", (Shown(Homes, TWO_CHROMES, 7),)),
    "rule14-floor-checked-again": Rule(
        "the floor is checked again when the answer comes",
        (Shown(Fence, AFTER_RELEASE, 10), Shown(Homes, TWO_CHROMES, 7)),
    ),
    "rule14-drains-lower": Rule(
        "before a token is served everything lower is drained",
        (Shown(Fence, "executed under a lower token than before"),),
    ),
    "rule15-from-sending": Rule(
        "a proof is good from the sending of its question on", (Shown(Fence, AFTER_QUARANTINED, 9),)
    ),
    "rule15-asked-at-dispatch": Rule(
        "the deadline is asked for at dispatch", (Shown(Fence, AFTER_QUARANTINED, 9),)
    ),
    "rule16-floor-only-rises": Rule("the floor only rises", (Shown(Fence, AFTER_RELEASE, 10),)),
    "rule16-drains-first": Rule(
        "a cut drains before it is acknowledged",
        (Shown(Fence, "executed after its cut was acknowledged", 10),),
    ),
    "rule16-cuts-only-what-is-older": Rule(
        "a late cut never touches a later hold", (Shown(Fence, "a later hold is cut", 10),)
    ),
    "rule16-acknowledges-after-the-drain": Rule(
        "a host that has checked a command does not acknowledge before that is over",
        (Shown(Incident, WAKES, 11),),
    ),
    "rule17-a-marker-closes-its-hold": Rule(
        "after a restart a marker whose browser is gone closes its hold and is reported",
        (
            Shown(Restart, "a crashed hold that nobody reports", 12),
            Shown(Restart, "a hold that a crash cut in two goes on"),
        ),
    ),
    "rule17-inspects-before-a-start": Rule(
        "no launch after an unproven end without inspection",
        (Shown(Restart, "Chrome starts on a crashed profile that nobody inspected", 12),),
    ),
    "rule18-floor-first": Rule(
        "what has no token raises the floor first, for the free profile that it verified",
        (Shown(Homes, TWO_CHROMES, 7),),
    ),
    "rule18-restore-a-persons-word": Rule(
        "a directory is replaced only while a person has the profile: DISABLED or MANUAL_REVIEW",
        (Shown(Restored, UNDER_OWNER),),
    ),
    "rule18-restore-compares-record": Rule(
        "a restore compares the revision that the person had read",
        (Shown(Restored, "restored over what nobody had read"),),
    ),
    "rule18-restore-floor-first": Rule(
        "a restore raises the floor above that revision before anything moves",
        (Shown(Restored, "a token of before drives what was restored"),),
    ),
    "rule18-restore-in-the-queue": Rule(
        "from the look at the record to the end of a restore nothing passes the host's queue",
        (Shown(Restored, UNDER_OWNER),),
    ),
    "rule19-never-an-empty-start": Rule(
        "a profile that was used and has no directory is missing",
        (Shown(HomesThatFail, "an empty start"),),
    ),
    "rule20-old-home-retired": Rule(
        "a home changes only once the old one is retired, its browser closed",
        (Shown(Homes, TWO_CHROMES, 7),),
    ),
    "rule20-compares-record": Rule(
        "MOVE compares the free record for which the old home was retired", (Shown(Homes, TWO_CHROMES, 7),)
    ),
    "rule20-no-late-copy": Rule(
        "a host takes no copy that is not newer than what it has",
        (Shown(Homes, "Chrome starts on an old copy"),),
    ),
    "rule22-waits-as-long-as-a-host-serves": Rule(
        "without an acknowledgement recovery waits as long as any host may serve",
        (Shown(Fence, AFTER_QUARANTINED, 9),),
    ),
    "rule22-from-its-own-sight": Rule(
        "each replica waits in full, from its own sight of SUSPECTED_STALE",
        (Shown(Fence, AFTER_QUARANTINED, 9),),
    ),
    "rule22-compares-record": Rule(
        "QUARANTINED compares the record that was seen suspected",
        (Shown(Incident, "an incident goes back"),),
    ),
    "rule23-uncertain-is-a-persons": Rule(
        "what is unacknowledged or missing goes to MANUAL_REVIEW only", (Shown(Incident, WAKES, 11),)
    ),
    "rule23-evidence-with-inspected": Rule(
        "the evidence is stored in one Txn with INSPECTED",
        (Shown(Incident, "decided on evidence that is not on record"),),
    ),
    "rule24-compares-inspected": Rule(
        "a decision compares the revision of INSPECTED", (Shown(Incident, "decided twice"),)
    ),
    "rule25-acknowledged-or-attested": Rule(
        "a verdict on an unacknowledged quarantine needs the host's late word, or an attestation",
        (Shown(Incident, WAKES, 11),),
    ),
    "rule25-compares-record": Rule(
        "a verdict compares the record that the person had read",
        (Shown(Incident, "a verdict on what nobody had read"),),
    ),
    "rule25-verdicts-are-numbered": Rule(
        "an incident that comes back to a person can have another verdict",
        (Shown(Incident, "MANUAL_REVIEW for ever"),),
    ),
    "tokens-cluster-is-checked": Rule(
        "a replica that another cluster answers, with the epoch unchanged, serves nobody",
        (Shown(Epoch, OLD_TOKEN, 16),),
    ),
    "tokens-epoch-is-compared": Rule("every Txn compares the epoch", (Shown(Epoch, OLD_TOKEN, 16),)),
    "tokens-old-holds-are-suspected": Rule(
        "after a raised epoch every hold of an earlier one is suspected",
        (Shown(Epoch, "held for ever by nobody", 16),),
    ),
    "batch-of-each-profile-one": Rule(
        "of each profile there is one transition in a batch",
        (Shown(Batch, "two callers are told of one profile that they have it"),),
    ),
    "batch-only-the-identical-again": Rule(
        "after an unclear batch only the very same transitions are sent again",
        (Shown(Batch, "one transition is done twice"),),
    ),
    "batch-unclear-is-told-so": Rule(
        "of an unclear batch nobody is told that nothing was done",
        (Shown(Batch, "told 'not done', and it was"),),
    ),
    "batch-halves-find-the-culprit": Rule(
        "a batch that is refused is sent in halves, until the culprit stands alone",
        (Shown(BatchRefused, "refused for another's fault"),),
    ),
}
