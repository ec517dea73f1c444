"""Folders for others. What must not be given to anybody is tried out by an intruder."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator

import pytest

from frontdoor.keeper import folders
from frontdoor.keeper.folders import FolderError
from frontdoor.keeper.identity import Identity, acting_as, look_up
from keeper.watching import descriptors

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give something away")


@pytest.fixture
def folder() -> Iterator[str]:
    before = descriptors()
    with tempfile.TemporaryDirectory(prefix="fd-") as path:
        os.chmod(path, 0o755)
        yield path
    assert descriptors() == before


@pytest.fixture
def owner() -> Identity:
    found = look_up("daemon", "")
    assert found is not None
    return found


def about(path: str) -> tuple[int, int, str]:
    found = os.lstat(path)
    return found.st_uid, found.st_gid, oct(stat.S_IMODE(found.st_mode))


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_folder_is_made_with_all_above_it(folder: str, owner: Identity, umask: int) -> None:
    before = os.umask(umask)
    try:
        folders.make(f"{folder}/deep/run", owner, "runtime_dir", 0o711)
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert about(f"{folder}/deep/run") == (owner.uid, owner.gid, "0o711")
    assert about(f"{folder}/deep") == (0, 0, "0o755")
    folders.make(f"{folder}/deep/run", owner, "runtime_dir", 0o700)
    assert about(f"{folder}/deep/run") == (owner.uid, owner.gid, "0o711"), "it stays as it is"


def test_where_he_may_he_makes_it_himself(folder: str, owner: Identity) -> None:
    os.mkdir(f"{folder}/his")
    os.chown(f"{folder}/his", owner.uid, owner.gid)
    folders.make(f"{folder}/his/deep/run", owner, "runtime_dir", 0o711)
    assert about(f"{folder}/his/deep/run") == (owner.uid, owner.gid, "0o711")
    assert about(f"{folder}/his/deep")[0] == owner.uid


def test_where_somebody_else_could_lead_root_astray_it_is_not_made(folder: str, owner: Identity) -> None:
    other = look_up("games", "")
    assert other is not None
    os.mkdir(f"{folder}/others")
    os.chown(f"{folder}/others", other.uid, other.gid)
    with pytest.raises(
        FolderError, match=r"is not root's alone: make it yourself, and chown it to him, or name another"
    ):
        folders.make(f"{folder}/others/run", owner, "runtime_dir", 0o711)
    assert os.listdir(f"{folder}/others") == []


def test_roots_own_is_handed_down_with_what_frontdoor_has_left_in_it(folder: str, owner: Identity) -> None:
    run = f"{folder}/run"
    os.makedirs(f"{run}/g7")
    os.mkdir(f"{run}/swaps", 0o700)
    for name in ("state.json", "frontdoor.pid", "g7/0.sock", "admin.token", "swaps/main-000001.json"):
        with open(f"{run}/{name}", "w"):
            pass
    os.symlink("/etc/passwd", f"{run}/control.sock")
    os.symlink("/etc/passwd", f"{run}/swaps/link")
    folders.make(run, owner, "runtime_dir", 0o711)
    assert about(run) == (owner.uid, owner.gid, "0o711")
    kept = ["admin.token", "control.sock", "frontdoor.pid", "state.json", "swaps"]
    assert sorted(os.listdir(run)) == kept
    kept += ["swaps/main-000001.json", "swaps/link"]
    assert {about(f"{run}/{name}")[0] for name in kept} == {owner.uid}
    assert os.stat("/etc/passwd").st_uid == 0


def test_what_else_root_has_is_not(folder: str, owner: Identity) -> None:
    run = f"{folder}/run"
    os.makedirs(f"{run}/other")
    with pytest.raises(FolderError, match=r"belongs to root, and has other things in it \(other\)"):
        folders.make(run, owner, "runtime_dir", 0o711)
    assert about(run) == (0, 0, "0o755")


@pytest.mark.parametrize("reports", ["a link", "others may write"])
def test_reports_that_root_did_not_write_alone_are_left_to_root(folder: str, owner: Identity, reports: str) -> None:
    run, elsewhere = f"{folder}/run", f"{folder}/elsewhere"
    os.makedirs(run)
    os.mkdir(elsewhere)
    with open(f"{elsewhere}/precious", "w"):
        pass
    if reports == "a link":
        os.symlink(elsewhere, f"{run}/swaps")
    else:
        os.mkdir(f"{run}/swaps")
        os.chmod(f"{run}/swaps", 0o777)
        os.link(f"{elsewhere}/precious", f"{run}/swaps/precious")
    folders.make(run, owner, "runtime_dir", 0o711)
    assert about(run)[0] == owner.uid
    assert about(f"{elsewhere}/precious")[0] == 0
    assert about(elsewhere)[0] == 0


@pytest.mark.parametrize("place", ["file", "dangling"])
def test_what_is_no_folder_is_left_alone(folder: str, owner: Identity, place: str) -> None:
    with open(f"{folder}/file", "w"):
        pass
    os.symlink("nowhere", f"{folder}/dangling")
    before = about(f"{folder}/{place}")
    if place == "file":
        folders.make(f"{folder}/file", owner, "runtime_dir", 0o711)  # it is refused by whoever wants to use it
    else:
        with pytest.raises(FolderError, match="No such file"):
            folders.make(f"{folder}/dangling", owner, "runtime_dir", 0o711)
    assert about(f"{folder}/{place}") == before
    assert not os.path.exists(f"{folder}/nowhere")


def test_a_file_system_without_access_control_lists_is_said(
    folder: str, owner: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*args: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.setxattr", unsupported)
    other = look_up("games", "")
    assert other is not None
    with acting_as(None):
        os.mkdir(f"{folder}/g1")
    os.chown(f"{folder}/g1", owner.uid, owner.gid)
    with pytest.raises(FolderError, match=r"its file system has no access control lists.*below /run"):
        folders.give(folder, f"{folder}/g1", other, owner)
    assert about(f"{folder}/g1")[0] == owner.uid
    folders.give(folder, f"{folder}/g1", owner, owner)  # who runs as the door process needs none
