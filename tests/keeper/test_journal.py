"""The keeper's own lines, and whether the journal reads them."""

import os
import subprocess
import sys

from frontdoor.keeper import journal

SAYS = (
    "from frontdoor.keeper import journal, stderr\n"
    "stderr.say('one')\n"
    "stderr.say('two', journal.ERROR)\n"
    "stderr.tell('three\\nfour')\n"
    "stderr.say('x' * 10_000)\n"
)


def said(**environment: str) -> list[str]:
    """What that program says on a stderr that is a pipe."""
    read, write = os.pipe()
    there = os.fstat(write)
    own = {name: value.format(here=f"{there.st_dev}:{there.st_ino}") for name, value in environment.items()}
    subprocess.run([sys.executable, "-c", SAYS], stderr=write, env={**os.environ, **own}, check=True)
    os.close(write)
    with open(read, "rb") as file:
        return file.read().decode().splitlines()


def test_the_journal_is_told_how_much_each_line_matters() -> None:
    *lines, last = said(JOURNAL_STREAM="{here}")
    assert lines == ["<4>frontdoor: one", "<3>frontdoor: two", "<3>three", "<3>four"]
    assert last == "<4>frontdoor: " + "x" * (4095 - len("<4>frontdoor: "))


def test_who_reads_something_else_is_not_told() -> None:
    # systemd's variable is inherited by whoever a service starts, also with a stderr of its own.
    assert said(JOURNAL_STREAM="8:1234567")[:4] == ["frontdoor: one", "frontdoor: two", "three", "four"]


def test_a_descriptor_that_is_none_is_read_by_nobody() -> None:
    assert not journal.reads(999_999, {"JOURNAL_STREAM": "0:0"})
