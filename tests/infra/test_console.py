"""What the command line prints: every column and value, whoever wrote it and however narrow the terminal is."""

import io

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from infra import console
from infra.console import confirm, plain, print_table

COLUMNS = ("consumer", "position", "cause")
LETTER = {"consumer": "task_board", "position": 1_234_567, "cause": "ValueError [type=int_type]: " + "x" * 300}


def screen(monkeypatch: pytest.MonkeyPatch, width: int, terminal: bool) -> io.StringIO:
    written = io.StringIO()
    shown = Console(file=written, force_terminal=terminal, color_system=None, width=width, highlight=False)
    monkeypatch.setattr(console, "stdout", shown)
    return written


class TestATable:
    @pytest.mark.parametrize("width", [20, 60, 100])
    def test_leaves_out_no_column_on_a_narrow_terminal(self, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
        written = screen(monkeypatch, width, terminal=True)
        print_table("Dead letters", [LETTER], COLUMNS)
        lines = written.getvalue().splitlines()
        assert lines[:1] == ["Dead letters"]
        assert lines[1].split() == ["consumer", "position", "cause"]
        assert lines[2].startswith("task_board  1,234,567  ValueError [type=int_type]:")
        assert sum(line.count("x") for line in lines[2:]) == 300

    def test_has_one_line_for_each_row_in_a_pipe(self, monkeypatch: pytest.MonkeyPatch) -> None:
        written = screen(monkeypatch, 200, terminal=False)
        print_table("Dead letters", [LETTER, LETTER], COLUMNS)
        assert [line.count("x") for line in written.getvalue().splitlines()] == [0, 0, 300, 300]

    @pytest.mark.parametrize("text", ["sync [beta]", "a [/b] c", "[red]x"])
    def test_shows_what_looks_like_markup_as_it_is(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        written = screen(monkeypatch, 80, terminal=True)
        print_table("Workflows", [{"title": text}], ("title",))
        assert written.getvalue().splitlines()[2].rstrip() == text

    def test_passes_nothing_on_that_a_terminal_would_obey(self, monkeypatch: pytest.MonkeyPatch) -> None:
        written = screen(monkeypatch, 80, terminal=True)
        print_table("Workflows", [{"title": "a\x1b[2Jb\nc"}], ("title",))
        assert written.getvalue().splitlines()[2].rstrip() == "a [2Jb c"

    def test_without_rows_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        written = screen(monkeypatch, 80, terminal=True)
        print_table("Runs", [], ("run_id",))
        assert written.getvalue() == "Runs\n  none\n"


class TestAQuestion:
    @pytest.mark.parametrize(
        ("typed", "exit_code", "told"),
        [
            ("y\n", 0, ""),
            ("n\n", 1, "Aborted."),
            ("", 1, "error: Nobody is there to answer: --yes is needed."),
        ],
    )
    def test_takes_a_yes_only(self, typed: str, exit_code: int, told: str) -> None:
        app = typer.Typer()
        app.command()(lambda: confirm("Sure?"))
        result = CliRunner().invoke(app, input=typed)
        assert (result.exit_code, result.stderr.strip()) == (exit_code, told)


class TestAText:
    def test_that_is_too_long_is_cut_off(self) -> None:
        assert (plain("abcd", 4), plain("abcde", 4)) == ("abcd", "abc…")
