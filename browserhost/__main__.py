"""`python -m browserhost`."""

from browserhost.service import serve
from browserhost.settings import BrowserHostSettings
from servicekit.main import run

if __name__ == "__main__":
    run("browserhost", BrowserHostSettings, serve)
