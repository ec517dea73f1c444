from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest

from frontdoor.keeper.identity import Identity, look_up
from frontdoor.keeper.way import changeable_by, is_roots_alone, steps

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can say what is root's alone")


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="fd-") as path:
        os.chmod(path, 0o755)
        yield path


@pytest.fixture
def user() -> Identity:
    found = look_up("daemon", "")
    assert found is not None
    return found


def below(folder: str, path: str) -> list[str]:
    """The steps from the folder on."""
    return [step.removeprefix(folder) for step in steps(f"{folder}/{path}") if step.startswith(f"{folder}/")]


def test_the_steps_to_a_file_end_with_what_is_there(folder: str) -> None:
    os.makedirs(f"{folder}/a/b")
    assert next(steps(folder)) == "/"
    assert below(folder, "a/b") == ["/a", "/a/b"]
    assert below(folder, "a/../a/b/c/d") == ["/a", "/a/b"]


def test_a_link_is_a_step_and_so_is_all_on_the_way_to_where_it_leads(folder: str) -> None:
    os.makedirs(f"{folder}/real/deep")
    os.makedirs(f"{folder}/other")
    os.symlink("../real", f"{folder}/other/relative")
    os.symlink(f"{folder}/other/relative/deep", f"{folder}/link")
    assert below(folder, "link/x") == ["/link", "/other", "/other/relative", "/real", "/real/deep"]


def test_links_that_lead_to_each_other_are_an_error(folder: str) -> None:
    os.symlink("b", f"{folder}/a")
    os.symlink("a", f"{folder}/b")
    with pytest.raises(OSError, match="symbolic links"):
        list(steps(f"{folder}/a"))


@needs_root
def test_what_is_roots_alone(folder: str, user: Identity) -> None:
    os.makedirs(f"{folder}/a/b")
    assert is_roots_alone(f"{folder}/a/b")
    assert is_roots_alone(f"{folder}/a/b/to/come")
    os.symlink(f"{folder}/a", f"{folder}/link")
    assert is_roots_alone(f"{folder}/link/b")
    os.chmod(f"{folder}/a", 0o775)
    assert not is_roots_alone(f"{folder}/a/b")
    assert not is_roots_alone(f"{folder}/link/b")
    os.chmod(f"{folder}/a", 0o1777)  # as /tmp, in which this is, too
    assert is_roots_alone(f"{folder}/a/b")
    assert not is_roots_alone(f"{folder}/a")
    assert not is_roots_alone(f"{folder}/a/to/come")
    os.chown(f"{folder}/link", user.uid, -1, follow_symlinks=False)
    assert not is_roots_alone(f"{folder}/link/b")
    os.chown(f"{folder}/a/b", user.uid, -1)
    assert not is_roots_alone(f"{folder}/a/b")


@needs_root
def test_who_can_change_a_step_is_found_at_it(folder: str, user: Identity) -> None:
    os.makedirs(f"{folder}/a/b")
    path = f"{folder}/a/b/config"
    with open(path, "w"):
        pass
    os.chmod(path, 0o644)
    assert changeable_by(user, path) is None
    for step, mode in ((path, 0o646), (f"{folder}/a", 0o757)):
        before = os.stat(step).st_mode
        os.chmod(step, mode)
        assert changeable_by(user, path) == step
        os.chmod(step, before)
    os.chown(path, -1, user.gid)
    os.chmod(path, 0o664)
    assert changeable_by(user, path) == path
    os.chmod(path, 0o640)
    assert changeable_by(user, path) is None
    os.chmod(f"{folder}/a", 0o1777)
    assert changeable_by(user, path) is None
    os.chown(f"{folder}/a/b", user.uid, -1)  # in a folder as /tmp, what is his he can replace
    assert changeable_by(user, path) == f"{folder}/a/b"
