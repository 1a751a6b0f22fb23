"""`python -m recovery`."""

from recovery.service import serve
from recovery.settings import RecoverySettings
from servicekit.main import run

if __name__ == "__main__":
    run("recovery", RecoverySettings, serve)
