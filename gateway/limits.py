"""The limits that the API documents, enforced at the gateway and told by GetServerInfo."""

from __future__ import annotations

from servicekit.deadlines import DEFAULT_S

DEFAULT_DEADLINE_S = DEFAULT_S
OPEN_DEADLINE_S = 120.0
ACQUIRE_MARGIN_S = 10.0
MOVE_DEADLINE_S = 600.0

MAX_WAIT_S = 24 * 3600.0
MAX_RUNTIME_S = 24 * 3600.0
MIN_LEASE_TTL_S = 2.0
MAX_LEASE_TTL_S = 3600.0
DEFAULT_LEASE_TTL_S = 600.0
# How long an address may be used to connect.
MIN_ADDRESS_TTL_S = 1.0
MAX_ADDRESS_TTL_S = 3600.0
DEFAULT_ADDRESS_TTL_S = 60.0

MAX_RUN_ID = 128
MAX_PLAN = 256
MAX_URL = 8192
MAX_REASON = 2000
MAX_PAGE = 1000
DEFAULT_PAGE = 100

LIMITS = {
    "default_deadline_seconds": int(DEFAULT_DEADLINE_S),
    "open_deadline_seconds": int(OPEN_DEADLINE_S),
    "move_deadline_seconds": int(MOVE_DEADLINE_S),
    "max_wait_seconds": int(MAX_WAIT_S),
    "max_runtime_seconds": int(MAX_RUNTIME_S),
    "max_lease_ttl_seconds": int(MAX_LEASE_TTL_S),
    "max_run_id_length": MAX_RUN_ID,
    "max_plan_length": MAX_PLAN,
    "max_start_url_length": MAX_URL,
    "max_page_size": MAX_PAGE,
}
