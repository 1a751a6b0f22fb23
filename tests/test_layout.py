"""The shape of the repository: what may lie at its top, what the lock may say, whether stubs are fresh."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

TOP = {
    ".ci",
    ".gitignore",
    "Makefile",
    "README.md",
    "browserhost",
    "buf.yaml",
    "docs",
    "gateway",
    "lockservice",
    "protos",
    "pyproject.toml",
    "recovery",
    "requirements.lock",
    "scripts",
    "servicekit",
    "tenure",
    "tests",
}


def committed() -> list[str]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listing.stdout.rstrip("\0").split("\0")


def locked() -> dict[str, list[str]]:
    """Each pinned package with the hashes that its files may have."""
    text = (ROOT / "requirements.lock").read_text()
    pins = [pin for pin in re.split(r"\n(?=\S)", text) if not pin.startswith("#")]
    return {pin.split("==")[0]: re.findall(r"--hash=sha256:([0-9a-f]{64})\b", pin) for pin in pins}


def asked_for() -> set[str]:
    """The distributions that pyproject.toml names, for running and for development."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    return {re.split(r"[=<>~!\[; ]", each)[0] for each in wanted}


def test_the_top_level_holds_only_what_is_meant_to_be_there() -> None:
    assert {Path(path).parts[0] for path in committed()} <= TOP


def test_every_pinned_package_has_hashes() -> None:
    assert locked()
    assert [name for name, hashes in locked().items() if not hashes] == []


def test_the_lock_pins_everything_that_the_project_asks_for() -> None:
    assert asked_for() - set(locked()) == set()


@pytest.mark.parametrize(
    "address", ["://", "--index", "--find-links", "--extra-index", "--trusted-host", "@ "]
)
def test_the_lock_names_no_registry(address: str) -> None:
    assert address not in (ROOT / "requirements.lock").read_text()


def test_the_lock_names_no_folder_of_the_machine_it_was_made_on() -> None:
    assert re.findall(r"(?:^|\s)/\S+", (ROOT / "requirements.lock").read_text()) == []


def test_generated_code_matches_the_protos() -> None:
    check = subprocess.run([ROOT / "scripts/protos", "--check"], capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stdout + check.stderr


def test_every_script_is_executable() -> None:
    scripts = [ROOT / path for path in committed() if path.startswith(("scripts/", ".ci/"))]
    assert scripts
    assert [path.name for path in scripts if not path.stat().st_mode & 0o111] == []


def test_every_make_target_explains_itself() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    explained = set(re.findall(r"^(\w+):.*## \S", makefile, re.MULTILINE))
    assert set(phony[1].split()) == explained
