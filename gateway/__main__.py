"""`python -m gateway`."""

from gateway.service import serve
from gateway.settings import GatewaySettings
from servicekit.main import run

if __name__ == "__main__":
    run("gateway", GatewaySettings, serve)
