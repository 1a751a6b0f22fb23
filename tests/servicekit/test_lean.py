"""What a service's process is spared."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("service", ["browserhost", "gateway", "lockservice", "recovery"])
def test_a_service_draws_nothing_for_terminals(service: str) -> None:
    tell = (
        f"import {service}.__main__, structlog, sys; print(sorted(n for n in sys.modules if n[:4] == 'rich'))"
    )
    said = subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "['rich']", "that it is not there is all that is known of it"
