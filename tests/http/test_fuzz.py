"""`scripts/fuzz` in short: what must hold does for what it begins with, and it would be noticed if it did not."""

import os
import re
import subprocess
import sys
from importlib import import_module

import pytest

from e2e.harness import environment
from e2e.swarm import ROOT
from frontdoor.http import forwarding, framing, head, websocket
from frontdoor.http.fields import Fields
from fuzzing import TARGETS, bodies, findings, frames, requests
from fuzzing.findings import Findings, attempt
from fuzzing.mutation import Mutation
from fuzzing.reference import (
    DONE,
    MORE,
    REFUSED,
    Place,
    Reading,
    Refusal,
    is_chain,
    length_of,
    read_chunks,
    read_frames,
    read_head,
)
from fuzzing.seeds import seeds


def check(target: str) -> findings.Check:
    found: findings.Check = import_module(f"fuzzing.{TARGETS[target]}").check
    return found


def wrong(target: str) -> list[str]:
    """What is wrong with the inputs that it begins with."""
    return [str(error) or repr(error) for data in seeds(target) if (error := attempt(check(target), data))]


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_wrong_with_what_it_begins_with(target: str) -> None:
    assert len(seeds(target)) >= 7
    assert wrong(target) == []


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_wrong_with_some_thousand_others(target: str) -> None:
    mutation = Mutation(target, lambda data, longest: data[:longest])
    tried = 0
    for number, data in enumerate(seeds(target)):
        for seed in range(3000 // len(seeds(target))):
            data = mutation(data, 4096, number * 10_000 + seed)
            assert attempt(check(target), data) is None, data
            tried += 1
    print(f"{target}: {tried} inputs")
    assert tried > 2000


# -- somebody breaks something: it is noticed -------------------------------------------------------------------------


def test_a_claim_of_a_stranger_is_sent_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "_goes_on", lambda name, dropped, client: name not in dropped)
    assert wrong("head")


def test_what_is_between_neighbours_is_sent_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "HOP_BY_HOP", frozenset({b"connection"}))
    assert wrong("head")


def test_nothing_is_said_of_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "_begun", lambda host, client: b"")
    assert wrong("head")


def test_a_length_is_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "_length", lambda value: 3)
    assert wrong("head")
    assert wrong("answer")


def test_a_request_is_given_up_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "is_hopeless", lambda data, start=0: data.endswith(b"\r"))
    assert any("hopeless" in text for text in wrong("head"))


def test_fields_are_read_leniently(monkeypatch: pytest.MonkeyPatch) -> None:
    def lenient(lines: bytes) -> Fields:
        split = [line.partition(b":") for line in lines.split(b"\r\n") if line]
        return [(name, value.strip()) for name, _, value in split]

    monkeypatch.setattr(head, "read_fields", lenient)
    assert wrong("head")
    assert wrong("answer")


def test_the_neighbour_s_fields_of_an_answer_are_sent_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "remove_hops", lambda instead, raw: raw)
    assert wrong("answer")


def test_an_exception_that_nobody_expects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "_HOST", None)
    assert any("NoneType" in text for text in wrong("head"))


@pytest.mark.parametrize(
    "pattern",
    [
        rb"\s*([0-9A-Fa-f]{1,15})[^\n]*\n",  # anything behind the size, and a bare line feed
        rb"([0-9A-Fa-f]{1,15})\r\n",  # no extensions
        rb"([0-9A-Fa-f])[0-9A-Fa-f]{0,14}(?:;[^\r\n]*)?\r\n",  # the first digit alone
    ],
)
def test_the_size_of_a_chunk_is_read_otherwise(monkeypatch: pytest.MonkeyPatch, pattern: bytes) -> None:
    monkeypatch.setattr(framing, "_SIZE", re.compile(pattern))
    assert wrong("body")


def test_the_pieces_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(framing.Chunked):
        def take(self, data: bytes) -> int:
            self._line = b""
            return super().take(data)

    monkeypatch.setattr(bodies, "Chunked", Forgetful)
    assert any("cut into" in text for text in wrong("body"))


def test_more_is_taken_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Greedy(framing.Chunked):
        def take(self, data: bytes) -> int:
            return super().take(data) + 1

    monkeypatch.setattr(bodies, "Chunked", Greedy)
    assert any("bytes taken" in text for text in wrong("body"))


def test_a_mask_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unmasked(websocket.Frames):
        def feed(self, data: bytes) -> None:
            super().feed(data.replace(b"\x83", b"\x03"))

    monkeypatch.setattr(frames, "Frames", Unmasked)
    assert wrong("frames")


def test_an_input_that_takes_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 11.5])
    monkeypatch.setattr("fuzzing.findings.time.thread_time", lambda: next(clock))
    error = attempt(lambda data: None, b"")
    assert isinstance(error, findings.TooSlow)
    assert str(error) == "1.5 s"


# -- what is found ----------------------------------------------------------------------------------------------------


def test_of_each_kind_the_shortest_is_kept(tmp_path: os.PathLike[str]) -> None:
    def letters(data: bytes) -> None:
        assert b"a" not in data
        assert b"b" not in data

    said: list[str] = []
    found = Findings(os.fspath(tmp_path), "head", said.append)
    for data in (b"xxa", b"xb", b"xa", b"xxxa"):
        error = attempt(letters, data)
        assert error is not None
        found.keep(data, error)
    assert len(said) == 2, "it is said once of each kind"
    kept = []
    for path in said:
        with open(path, "rb") as file:
            kept.append(file.read())
        with open(path + ".txt", encoding="utf-8") as text:
            lines = text.read().splitlines()
        assert lines[0] == f"scripts/fuzz --target head --file {path}"
        assert lines[-1].startswith("AssertionError")
    assert kept == [b"xa", b"xb"]


# -- the simple readers -----------------------------------------------------------------------------------------------


def test_the_simple_readers() -> None:
    assert read_head(b"a\r\nB:  c \r\n\r\n") == (b"a", [(b"B", b"c")])
    for raw in (b"a\r\nB : c\r\n\r\n", b"a\r\n b: c\r\n\r\n", b"a\nb: c\r\n\r\n", b"a\r\nb: c\r\n"):
        with pytest.raises(Refusal):
            read_head(raw)
    assert [length_of([]), length_of([(b"Content-Length", b"5")])] == [None, 5]
    with pytest.raises(Refusal):
        length_of([(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")])
    assert all(map(is_chain, (b'for=a;b="c,"', b", a=b", b'a="\\""')))
    assert not any(map(is_chain, (b"", b"a", b'a="b', b'a="b"c', b"a=b c")))
    assert read_chunks(b"2;a\r\nhi\r\n0\r\nB: c\r\n\r\nmore") == Reading(DONE, 20, b"hi")
    assert read_chunks(b"3\r\nhi") == Reading(MORE, 5, b"hi")
    assert read_chunks(b"2\r\nhi!").state == REFUSED
    assert read_frames(b"\x82\x03a") == Place(between=False, left=2, closed=False, broken=False)
    assert read_frames(b"\x88\x81abcdx") == Place(between=True, left=0, closed=True, broken=False)


# -- the script -------------------------------------------------------------------------------------------------------


def fuzz(*options: str) -> subprocess.CompletedProcess[str]:
    """Run what scripts/fuzz runs, which would install into the very .venv that these tests run in."""
    return subprocess.run(
        [sys.executable, "-m", "fuzzing", *options],
        env=environment(PYTHONPATH=os.path.join(ROOT, "scripts")),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_one_input() -> None:
    path = os.path.join(ROOT, "README.md")
    ran = fuzz("--target", "body", "--file", path)
    assert ran.returncode == 0, ran
    assert ran.stdout.endswith("nothing is wrong with it\n")
    assert "of which --target?" in fuzz("--file", path).stderr


@pytest.fixture
def atheris() -> None:
    """It has no build for each Python: then the rest of this file is all there is."""
    ran = subprocess.run([sys.executable, "-c", "import atheris"], capture_output=True, text=True, check=False)
    if ran.returncode:
        pytest.skip(f"atheris cannot be imported: {ran.stderr.splitlines()[-1]}")


@pytest.mark.usefixtures("atheris")
def test_some_seconds_of_it(tmp_path: os.PathLike[str]) -> None:
    ran = fuzz("--minutes", "0.05", "--seed", "1", "--findings", os.fspath(tmp_path))
    print(ran.stdout)
    assert ran.returncode == 0, ran
    last = re.fullmatch(
        r"fuzz: in all: ([\d,]+) executions in \d+ s, ([\d,]+) features, ([\d,]+) inputs kept, no findings",
        ran.stdout.splitlines()[-1],
    )
    assert last, ran.stdout
    executions, features, _ = (int(figure.replace(",", "")) for figure in last.groups())
    assert executions > 200
    assert features > 1000
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("atheris")
def test_the_same_seed_is_the_same_fuzz(tmp_path: os.PathLike[str]) -> None:
    def figures() -> list[str]:
        ran = fuzz("--target", "body", "--runs", "400", "--seed", "5", "--findings", os.fspath(tmp_path))
        assert ran.returncode == 0, ran
        # libFuzzer's features are comparisons as well, told apart by addresses: one or two of 440 come and go.
        return re.sub(r"in \d+ s, \d+ features", "", ran.stdout).splitlines()

    once = figures()
    assert "400 executions" in once[-1]
    assert figures() == once
