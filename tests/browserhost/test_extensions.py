"""A browser has the extensions that its profile asks for, of that content, or is not started."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from browserhost import config
from browserhost.config import Look
from browserhost.extensions import Lacking, Shelf
from browserhost.version import Installed
from tenure.errors import ConfigUnmet, InvalidField
from tenure.extension import Extension
from tenure.userdata import unpacked
from tenure.v1.profile_pb2 import BrowserConfig, BrowserExtension
from tests.browserhost.fakes import Machine
from tests.fixtures.extensions import unpack


class Chromium(Installed):
    """What is installed says that it is `name`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    async def told(self, program: str) -> str:
        return f"{self.name} 156.0.8078.79"


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    unpack(tmp_path / "shelf" / "marks")
    (tmp_path / "shelf").chmod(0o755)
    return tmp_path / "shelf"


def asked(folder: Path) -> Extension:
    return Extension(folder.name, unpacked.read(folder).digest)


def stock(machine: Machine, shelf: Shelf, name: str = "Chromium") -> None:
    """Give a machine a folder of extensions; before its first browser."""
    slot = machine.profile().slot
    changed = dataclasses.replace(slot._workshop, extensions=shelf, installed=Chromium(name))
    slot._launching._workshop = slot.directory._workshop = changed


async def test_a_browser_is_launched_with_what_its_profile_asks_for_in_order(
    machine: Machine, shelf: Path
) -> None:
    other = asked(unpack(shelf / "also", base64.b64encode(b"another").decode()))
    stock(machine, Shelf(shelf))
    await machine.open(41, look=Look(generation=7, extensions=(asked(shelf / "marks"), other)))
    assert machine.browser().spec.extensions == (shelf / "marks", shelf / "also")
    await machine.profile().close_hold(41)
    await machine.open(42)
    assert machine.browser().spec.extensions == ()


@pytest.mark.parametrize(
    ("name", "chrome", "said"),
    [
        (
            "other",
            "Chromium",
            "the extension other with the digest 000000000000… (there is none of that name)",
        ),
        ("marks", "Chromium", "the extension marks with the digest 000000000000… (the one that is here has "),
    ],
)
async def test_nothing_is_started_without_it(
    machine: Machine, shelf: Path, name: str, chrome: str, said: str
) -> None:
    stock(machine, Shelf(shelf), chrome)
    with pytest.raises(ConfigUnmet) as refused:
        await machine.open(41, look=Look(generation=7, extensions=(Extension(name, "0" * 64),)))
    assert said in refused.value.lacking
    assert machine.chrome.launched == []
    assert not machine.is_locked()


async def test_a_chrome_that_would_leave_it_out_without_a_word_is_not_started(
    machine: Machine, shelf: Path
) -> None:
    stock(machine, Shelf(shelf), "Google Chrome")
    with pytest.raises(ConfigUnmet, match="Chromium"):
        await machine.open(41, look=Look(generation=7, extensions=(asked(shelf / "marks"),)))
    assert machine.chrome.launched == []


def test_a_host_without_a_folder_of_them_says_so(shelf: Path) -> None:
    Shelf().find(())
    with pytest.raises(Lacking, match="extensions_dir"):
        Shelf().find((asked(shelf / "marks"),))


def changes(shelf: Path) -> dict[str, Callable[[], None]]:
    return {
        "a file that others may write": lambda: (shelf / "marks" / "content.js").chmod(0o646),
        "a file that its group may write": lambda: (shelf / "marks" / "content.js").chmod(0o664),
        "its folder": lambda: (shelf / "marks").chmod(0o777),
        "the folder of all": lambda: shelf.chmod(0o1777),
        "what is above": lambda: shelf.parent.chmod(0o777),
    }


@pytest.mark.parametrize("change", changes(Path()))
def test_what_others_may_change_after_it_was_read_is_refused(shelf: Path, change: str) -> None:
    wanted = (asked(shelf / "marks"),)
    Shelf(shelf).find(wanted)
    changes(shelf)[change]()
    with pytest.raises(Lacking, match="others may change"):
        Shelf(shelf).find(wanted)


def test_a_file_that_is_somebody_elses_is_refused(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = (asked(shelf / "marks"),)
    monkeypatch.setattr("browserhost.extensions._is_ours", lambda found: found.st_size != 0)
    (shelf / "marks" / "empty.js").touch(0o644)
    with pytest.raises(Lacking, match=r"others may change empty\.js"):
        Shelf(shelf).find(wanted)


def test_a_tenants_own_user_must_be_able_to_read_it(shelf: Path) -> None:
    wanted = (asked(shelf / "marks"),)
    for parent in (shelf.parent, shelf.parent.parent):
        parent.chmod(0o700)
    with pytest.raises(Lacking, match="its tenant's user may not pass"):
        Shelf(shelf, for_others=True).find(wanted)
    Shelf(shelf).find(wanted)


def test_a_file_of_it_that_a_tenants_user_may_not_read_is_named(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shelf, "_refuse_open_way", lambda self, root: None)
    wanted = (asked(shelf / "marks"),)
    Shelf(shelf, for_others=True).find(wanted)
    (shelf / "marks" / "content.js").chmod(0o600)
    with pytest.raises(Lacking, match=r"may not read content\.js"):
        Shelf(shelf, for_others=True).find(wanted)


def test_static_rules_need_a_folder_that_chrome_may_write_to(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chrome leaves such an extension out without a word."""
    monkeypatch.setattr(Shelf, "_refuse_open_way", lambda self, root: None)
    wanted = (asked(unpack(shelf / "rules", declarative_net_request={"rule_resources": [{"id": "r"}]})),)
    Shelf(shelf).find(wanted)
    with pytest.raises(Lacking, match="static rules"):
        Shelf(shelf, for_others=True).find(wanted)


def test_two_of_one_key_would_be_one(shelf: Path) -> None:
    with pytest.raises(Lacking, match="the key of marks"):
        Shelf(shelf).find((asked(shelf / "marks"), asked(unpack(shelf / "again"))))


def test_a_request_names_no_path() -> None:
    sound = BrowserConfig(extensions=[BrowserExtension(name="marks", sha256="a" * 64)])
    assert config.read(sound, 7).extensions == (Extension("marks", "a" * 64),)
    with pytest.raises(InvalidField):
        config.read(BrowserConfig(extensions=[BrowserExtension(name="../marks", sha256="a" * 64)]), 7)
