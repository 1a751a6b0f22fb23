"""The digest of an unpacked extension: of all that Chrome may load, the same at every machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tenure.userdata import unpacked
from tenure.userdata.unpacked import Unfit
from tests.fixtures.extensions import KEY, unpack


def test_the_same_files_are_the_same_extension_wherever_and_however_they_lie(tmp_path: Path) -> None:
    one, other = unpack(tmp_path / "a" / "one"), unpack(tmp_path / "b" / "other")
    (other / "content.js").chmod(0o600)
    os.utime(other / "content.js", (1, 1))
    assert unpacked.read(one) == unpacked.read(other)
    # As Chrome makes it of this key.
    assert unpacked.read(one).id == "ejmgdlopbnlchifalilldlfkbkabfcip"


@pytest.mark.parametrize("path", ["content.js", "more.js", "Cache/more.js", ".hidden"])
def test_another_content_is_another_digest_also_where_a_profile_would_have_a_cache(
    tmp_path: Path, path: str
) -> None:
    folder = unpack(tmp_path / "one")
    before = unpacked.read(folder).digest
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_text("alert(1)")
    assert unpacked.read(folder).digest != before


def test_what_chrome_derives_from_static_rules_is_no_part_of_it(tmp_path: Path) -> None:
    folder = unpack(tmp_path / "one", declarative_net_request={"rule_resources": [{"id": "r"}]})
    before = unpacked.read(folder)
    assert before.static_rules
    (folder / "_metadata").mkdir()
    (folder / "_metadata" / "rules").write_text("x")
    assert unpacked.read(folder) == before
    assert not unpacked.read(unpack(tmp_path / "other")).static_rules


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"key": "no base64!"}', '{"key": 7}', '{"key": ""}'])
def test_without_a_key_it_would_be_another_one_at_every_path(tmp_path: Path, manifest: str) -> None:
    folder = unpack(tmp_path / "one")
    (folder / "manifest.json").write_text(manifest)
    with pytest.raises(Unfit, match=r"manifest\.json"):
        unpacked.read(folder)


def test_a_link_leads_out_and_is_refused(tmp_path: Path) -> None:
    folder = unpack(tmp_path / "one")
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(Unfit, match="link"):
        unpacked.read(tmp_path / "link")
    (folder / "more.js").symlink_to(tmp_path / "elsewhere.js")
    with pytest.raises(Unfit, match=r"more\.js is neither"):
        unpacked.read(folder)
    with pytest.raises(FileNotFoundError):
        unpacked.read(tmp_path / "none")


def test_the_fixtures_key_is_what_its_manifest_says(tmp_path: Path) -> None:
    assert json.loads((unpack(tmp_path / "one") / "manifest.json").read_text())["key"] == KEY
