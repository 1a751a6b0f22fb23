"""What `tenure download` and `downloads` make of names that a site chose."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from tenure.cli import files
from tenure.cli.output import Output
from tenure.v1.session_pb2 import Download

ODD = "[/bold] invoice [red]7.pdf"


def test_what_a_site_calls_a_file_is_shown_as_it_is() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(files._table([Download(suggested_name=ODD, url="https://shop.example/[/a]", file="f-1")]))
    shown = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    assert ODD in shown
    assert "https://shop.example/[/a]" in shown


def test_the_progress_of_any_profile_is_shown_as_it_is_called() -> None:
    output, told = Output(as_json=False), io.StringIO()
    output.errors = Console(file=told, force_terminal=True, width=200)
    with files._shown(output, "to [/odd]") as progress:
        progress(9 << 20, 90 << 20)
    assert "to [/odd]" in told.getvalue()


@pytest.mark.parametrize("name", ["invoice.pdf", "../../invoice.pdf", "/etc/invoice.pdf"])
def test_a_download_goes_into_a_directory_under_the_last_part_of_its_name(name: str, tmp_path: Path) -> None:
    found = Download(suggested_name=name, file="f-1")
    assert files._place(found, tmp_path) == tmp_path / "invoice.pdf"
    assert files._place(found, tmp_path / "mine.pdf") == tmp_path / "mine.pdf"
    assert files._place(found, None) == Path("invoice.pdf")


@pytest.mark.parametrize("name", ["invoice.pdf", "..", "/"])
def test_nothing_is_written_over_but_what_was_named(name: str, tmp_path: Path) -> None:
    there = tmp_path / "invoice.pdf"
    there.write_text("mine")
    assert files._place(Download(suggested_name=name), there) == there
    with pytest.raises(FileExistsError, match="is there already"):
        files._place(Download(suggested_name=name), tmp_path)
