"""`python -m browserhost`."""

from servicekit import lean  # noqa: F401, I001 - before all others
from browserhost.service import serve
from browserhost.settings import BrowserHostSettings
from servicekit.main import run

if __name__ == "__main__":
    run("browserhost", BrowserHostSettings, serve)
