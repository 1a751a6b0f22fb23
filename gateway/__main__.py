"""`python -m gateway`."""

from servicekit import lean  # noqa: F401, I001 - before all others
from gateway.service import serve
from gateway.settings import GatewaySettings
from servicekit.main import run

if __name__ == "__main__":
    run("gateway", GatewaySettings, serve)
