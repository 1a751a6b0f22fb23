"""Rule 9, the host's evidence: each item once, and none once it was decided without it."""

from __future__ import annotations

from collections.abc import Sequence

from lockservice.core.keys import Keys
from lockservice.etcd.txn import Txn, absent, exists, get, nested, put, txn
from tenure.names import IncidentName

# etcd takes 128 operations a Txn by default.
MAX_ITEMS = 120


def add(keys: Keys, incident: IncidentName, items: Sequence[tuple[str, bytes]]) -> Txn:
    """One Txn that stores what is not stored yet of these (id, value) pairs.

    When it fails it answers the incident, then its decision: one of them says why. Neither epoch nor p is
    compared: what the host saw under the token stays true whoever has the profile now.
    """
    profile, token = incident.profile, incident.fencing_token
    known, decision = keys.incident(profile, token), keys.decision(profile, token)
    each = []
    for item, value in items:
        key = keys.host_item(profile, token, item)
        each.append(nested(txn([absent(key)], [put(key, value)])))
    return txn([exists(known), absent(decision)], each, [get(known), get(decision)])
