import os
import shutil
import subprocess
import sys

import pytest

from frontdoor.policy import generation, swap

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOCS = os.path.join(ROOT, "docs", "architecture.md")


def diagram(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, os.path.join(ROOT, "scripts", "diagram"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def docs(tmp_path: os.PathLike[str]) -> str:
    return shutil.copy(DOCS, os.path.join(tmp_path, "architecture.md"))


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def change(path: str, old: str, new: str) -> None:
    text = read(path)
    assert old in text
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(old, new, 1))


def test_the_docs_show_the_tables_as_they_are() -> None:
    checked = diagram("--check")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_every_line_of_both_tables_is_drawn() -> None:
    lives, ways = diagram().stdout.split("```\n\n```")
    for (state, happening), to in generation.TABLE.items():
        assert any(
            line.startswith(f"    {state.name.lower()} --> {to.name.lower()}: ") and happening in line
            for line in lives.split("\n")
        )
    for (phase, event), move in swap.TABLE.items():
        drawn = [
            line
            for line in ways.split("\n")
            if line.startswith(f"    {phase.name.lower()} --> {move.phase.name.lower()}: ")
        ]
        assert any(event in line and line.endswith(", ".join(move.commands)) for line in drawn)
    assert "    [*] --> starting\n" in lives
    assert "    [*] --> asked\n" in ways


def test_an_arrow_that_is_missing_in_the_docs_is_found_and_drawn_again(docs: str) -> None:
    change(docs, "    ready --> active: switch\n", "")
    checked = diagram("--check", docs)
    assert checked.returncode == 1
    assert "run `scripts/diagram --write`" in checked.stderr
    assert diagram("--write", docs).returncode == 0
    assert read(docs) == read(DOCS)
    assert diagram("--check", docs).returncode == 0


@pytest.mark.parametrize(("mark", "name"), [("diagram: generation", "generation"), ("end of diagram", "swap")])
def test_docs_without_a_mark_are_refused_and_left_alone(docs: str, mark: str, name: str) -> None:
    change(docs, f"<!-- {mark} -->", "")
    before = read(docs)
    for how in ("--check", "--write"):
        refused = diagram(how, docs)
        assert refused.returncode == 1
        assert f"there should be one block after `<!-- diagram: {name} -->`, and there are 0" in refused.stderr
    assert read(docs) == before


def test_docs_that_are_not_there_are_an_error_in_one_line(tmp_path: os.PathLike[str]) -> None:
    refused = diagram("--check", os.path.join(tmp_path, "none.md"))
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
