"""`python -m browserhost`, and `python -m browserhost handover`."""

from servicekit import lean  # noqa: F401, I001 - before all others
import sys

from browserhost import handover
from browserhost.service import serve
from browserhost.settings import BrowserHostSettings
from servicekit.main import run

if __name__ == "__main__":
    if sys.argv[1:2] == ["handover"]:
        sys.exit(handover.main(sys.argv[2:]))
    run("browserhost", BrowserHostSettings, serve)
