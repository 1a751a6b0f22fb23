"""`python -m recovery`."""

from servicekit import lean  # noqa: F401, I001 - before all others
from recovery.service import serve
from recovery.settings import RecoverySettings
from servicekit.main import run

if __name__ == "__main__":
    run("recovery", RecoverySettings, serve)
