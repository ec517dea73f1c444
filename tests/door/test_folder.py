import os
import re
import stat
from pathlib import Path

import pytest

from frontdoor.door import folder


def test_a_new_folder_lets_others_pass_and_nothing_more(tmp_path: Path) -> None:
    made = tmp_path / "deep" / "run"
    folder.prepare(str(made))
    assert stat.S_IMODE(made.stat().st_mode) == 0o711


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o733])
def test_a_folder_that_others_may_write_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(folder.FolderError, match=f"mode {mode:04o}.*chmod go-w"):
        folder.prepare(str(tmp_path))


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(folder.FolderError, match="is not a folder: name another one"):
        folder.prepare(str(tmp_path / "run"))


def test_the_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(tmp_path, 65534, 65534)
    tmp_path.chmod(0o755)
    with pytest.raises(folder.FolderError, match=re.escape("another user (uid 65534)")):
        folder.prepare(str(tmp_path))


def test_the_lock_says_who_has_it_and_ends_with_its_last_descriptor(tmp_path: Path) -> None:
    first = folder.lock(str(tmp_path), 4711)
    kept = os.dup(first)  # as the keeper has it
    os.close(first)
    with pytest.raises(folder.FolderError, match=r"another frontdoor \(pid 4711\)"):
        folder.lock(str(tmp_path), 4712)
    os.close(kept)
    second = folder.lock(str(tmp_path), 9)
    assert (tmp_path / folder.PID_FILE).read_text() == "9\n"
    os.close(second)


def test_a_pid_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("do not overwrite")
    (tmp_path / folder.PID_FILE).symlink_to(tmp_path / "precious")
    with pytest.raises(folder.FolderError, match="pid file"):
        folder.lock(str(tmp_path), 1)
    assert (tmp_path / "precious").read_text() == "do not overwrite"


def test_clearing_leaves_the_folder_and_minds_nothing_missing(tmp_path: Path) -> None:
    os.close(folder.lock(str(tmp_path), 1))
    folder.clear(str(tmp_path))
    folder.clear(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
