"""The token's file: which is believed, when it is made, and when it is looked at."""

import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest

from frontdoor.door import token as module
from frontdoor.door.token import BadToken, Token, check, parse
from nobody import without_rights

OWN = b"one-that-somebody-has-chosen-himself-0123456789"


class Said:
    """A log that is read by the test."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, *, file, reason: self.lines.append((level, event, reason))

    def take(self) -> list[tuple[str, str, str]]:
        lines, self.lines = self.lines, []
        return lines


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def token(tmp_path: Path, said: Said) -> Token:
    return Token(str(tmp_path), "run", said)  # type: ignore[arg-type]  # it says what a log does


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "admin.token"


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state of the file that was read once is not read again, however young it is."""
    monkeypatch.setattr(module, "_SETTLED", -1.0)


def write(file: Path, content: bytes, mode: int = 0o600) -> None:
    file.unlink(missing_ok=True)
    file.write_bytes(content)
    file.chmod(mode)


def test_the_first_start_makes_one(token: Token, file: Path, said: Said) -> None:
    before = os.umask(0)
    try:
        token.make_sure()
    finally:
        os.umask(before)
    found = file.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o600, os.geteuid())
    value = file.read_bytes().strip()
    assert len(value) == 43
    assert token.matches(value)
    assert os.listdir(file.parent) == ["admin.token"]
    assert said.take() == [("info", "admin.token", "it has a new token")]
    assert (token.where, repr(token)) == ("run/admin.token", "<Token in run/admin.token>")


def test_no_umask_makes_it_unreadable_for_us(token: Token, file: Path) -> None:
    before = os.umask(0o777)
    try:
        token.make_sure()
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_next_start_keeps_it(token: Token, file: Path, said: Said) -> None:
    write(file, OWN + b"\n", 0o400)
    token.make_sure()
    assert token.matches(OWN)
    assert file.read_bytes() == OWN + b"\n"
    assert said.take() == []


@pytest.mark.parametrize("given", [b"", OWN[:-1], OWN + b"\n", OWN + b"x", OWN.upper(), b"\xff"])
def test_nothing_else_matches(token: Token, file: Path, given: bytes) -> None:
    write(file, OWN + b"\n")
    token.make_sure()
    assert not token.matches(given)
    assert token.matches(OWN)


BAD = {
    "others may read": (OWN, 0o604, "others may read or write it (mode 0604)"),
    "the group may read": (OWN, 0o640, "others may read or write it (mode 0640)"),
    "others may write": (OWN, 0o602, "others may read or write it (mode 0602)"),
    "empty": (b"", 0o600, "it is empty"),
    "blank": (b" \n\n", 0o600, "it is empty"),
    "short": (b"secret\n", 0o600, "it has 6 characters, and a token has 32 at least"),
    "two lines": (OWN + b"\n" + OWN, 0o600, "it has more in it than one line of visible ASCII characters"),
    "with a blank": (OWN + b" " + OWN, 0o600, "it has more in it than one line of visible ASCII characters"),
    "binary": (bytes(range(200)), 0o600, "it has more in it than one line of visible ASCII characters"),
    "long": (b"x" * 1025, 0o600, "it has more than 1024 bytes"),
}


@pytest.mark.parametrize(("content", "mode", "why"), BAD.values(), ids=BAD)
def test_what_cannot_be_believed_is_replaced(
    token: Token, file: Path, said: Said, content: bytes, mode: int, why: str
) -> None:
    write(file, content, mode)
    token.make_sure()
    assert not token.matches(content.strip())
    assert token.matches(file.read_bytes().strip())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert said.take() == [("warning", "admin.token", f"{why}: it was replaced by a new token")]


def test_a_link_is_replaced_and_what_it_leads_to_is_left_alone(
    token: Token, file: Path, said: Said, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere, OWN)
    file.symlink_to(elsewhere)
    token.make_sure()
    assert not file.is_symlink()
    assert elsewhere.read_bytes() == OWN
    assert not token.matches(OWN)
    assert said.take() == [("warning", "admin.token", "it is a link: it was replaced by a new token")]


def test_a_link_in_the_way_of_a_new_one_is_not_followed(token: Token, file: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"precious")
    (tmp_path / "admin.token.new").symlink_to(elsewhere)
    token.make_sure()
    assert elsewhere.read_bytes() == b"precious"
    assert token.matches(file.read_bytes().strip())


def test_a_fifo_that_nobody_writes_to_holds_up_nobody(token: Token, file: Path, said: Said) -> None:
    os.mkfifo(file, 0o600)
    token.make_sure()
    assert said.take() == [("warning", "admin.token", "it is not a file: it was replaced by a new token")]
    assert token.matches(file.read_bytes().strip())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_one_of_another_user_is_replaced(token: Token, file: Path, said: Said) -> None:
    write(file, OWN)
    os.chown(file, 4711, 4711)
    token.make_sure()
    assert not token.matches(OWN)
    ((_, _, why),) = said.take()
    assert why == "it belongs to another user (uid 4711): it was replaced by a new token"


def test_a_folder_of_that_name_makes_it_read_only(token: Token, file: Path, said: Said) -> None:
    file.mkdir()
    token.make_sure()
    ((level, event, why),) = said.take()
    assert (level, event) == ("error", "admin.read_only")
    assert why == (
        "it is not a file; there is no token, and none can be made (Is a directory): over admin nothing can be changed"
    )
    assert not token.matches(b"")


def test_a_folder_that_cannot_be_written_makes_it_read_only(said: Said) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders let nobody else in
        os.chmod(folder, 0o555)
        token = Token(folder, "run", said)  # type: ignore[arg-type]  # it says what a log does
        with without_rights():
            token.make_sure()
        os.chmod(folder, 0o755)
    text = "there is no token, and none can be made (Permission denied): over admin nothing can be changed"
    assert said.take() == [("error", "admin.read_only", text)]
    assert not token.matches(b"")


# -- while frontdoor runs ----------------------------------------------------------------------------------------------


def test_a_changed_file_counts_from_then_on(token: Token, file: Path, said: Said) -> None:
    write(file, OWN)
    token.make_sure()
    write(file, b"another-" + OWN)
    assert not token.matches(OWN)
    assert token.matches(b"another-" + OWN)
    assert said.take() == []


def test_one_that_has_just_been_changed_is_read_each_time(
    token: Token, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second change of the same length may leave the time stamps as they are."""
    monkeypatch.setattr(module, "_SETTLED", 60.0)
    monkeypatch.setattr(module, "_state", lambda found: "the same")
    write(file, OWN)
    token.make_sure()
    file.write_bytes(OWN.swapcase())
    assert token.matches(OWN.swapcase())
    assert not token.matches(OWN)


@pytest.mark.parametrize("spoil", ["remove", "empty", "open up"])
def test_one_that_is_gone_or_bad_counts_no_more_and_the_next_reload_makes_a_new_one(
    token: Token, file: Path, said: Said, spoil: str
) -> None:
    write(file, OWN)
    token.make_sure()
    if spoil == "remove":
        file.unlink()
    else:
        write(file, b"" if spoil == "empty" else OWN, 0o600 if spoil == "empty" else 0o644)
    for _ in range(3):
        assert not token.matches(OWN)
    ((level, event, why),) = said.take()  # once
    assert (level, event) == ("warning", "admin.token")
    assert why.endswith("no token is taken; frontdoor reload makes a new one")
    token.make_sure()
    assert not token.matches(OWN)
    assert token.matches(file.read_bytes().strip())


# -- the two rules -----------------------------------------------------------------------------------------------------


@pytest.fixture
def found(tmp_path: Path) -> os.stat_result:
    file = tmp_path / "file"
    write(file, OWN)
    return file.stat()


def test_ours_and_only_ours_passes(found: os.stat_result) -> None:
    check(found)
    fields = list(found)
    for uid in (found.st_uid + 1, 4711):
        with pytest.raises(BadToken, match="belongs to another user"):
            check(os.stat_result([*fields[:4], uid, *fields[5:]]))
    for kind in (stat.S_IFDIR, stat.S_IFSOCK, stat.S_IFIFO, stat.S_IFCHR):
        with pytest.raises(BadToken, match="not a file"):
            check(os.stat_result([kind | 0o600, *fields[1:]]))


@pytest.mark.parametrize("around", [b"", b"\n", b"\r\n", b" \n"])
def test_blanks_around_it_are_not_of_it(around: bytes) -> None:
    assert parse(OWN + around) == OWN


def test_the_shortest() -> None:
    assert parse(b"x" * 32) == b"x" * 32
    with pytest.raises(BadToken):
        parse(b"x" * 31)
