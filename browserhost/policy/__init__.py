"""What a session's clients may do, and where sessions may start. Pure."""

from browserhost.policy.rules import by_name, judge, reads
from browserhost.policy.urls import start_url_problem
from browserhost.policy.verdict import Effect, Room, Verdict

__all__ = ["Effect", "Room", "Verdict", "by_name", "judge", "reads", "start_url_problem"]
