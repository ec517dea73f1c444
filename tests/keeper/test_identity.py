from __future__ import annotations

import grp
import os
import pwd
from contextlib import suppress
from pathlib import Path

import pytest

from frontdoor.keeper.identity import IdentityError, acting_as, look_up


def test_no_name_is_no_change() -> None:
    assert look_up("", "") is None


def test_a_user_comes_with_his_group_his_other_groups_and_his_home() -> None:
    me = pwd.getpwuid(os.getuid())
    found = look_up(me.pw_name, "")
    assert found is not None
    assert (found.uid, found.gid, str(found)) == (me.pw_uid, me.pw_gid, f"user {me.pw_name}")
    assert found.groups == os.getgrouplist(me.pw_name, me.pw_gid)
    assert found.env == {"HOME": me.pw_dir, "LOGNAME": me.pw_name, "USER": me.pw_name, "SHELL": me.pw_shell}


def test_a_group_takes_the_place_of_his_own() -> None:
    other = grp.getgrnam("sys")
    found = look_up("daemon", "sys")
    assert found is not None
    assert (found.uid, found.gid, str(found)) == (
        pwd.getpwnam("daemon").pw_uid,
        other.gr_gid,
        "user daemon and group sys",
    )
    assert other.gr_gid in found.groups


def test_a_group_alone_is_the_only_one() -> None:
    found = look_up("", "sys")
    assert found is not None
    assert (found.uid, found.groups, found.env, str(found)) == (os.getuid(), [found.gid], {}, "group sys")


def test_who_is_not_known_is_said() -> None:
    with pytest.raises(IdentityError, match="there is no user called 'nobody-of-that-name' on this machine"):
        look_up("nobody-of-that-name", "")
    with pytest.raises(IdentityError, match="there is no group called 'none-of-that-name' on this machine"):
        look_up("daemon", "none-of-that-name")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_acting_as_somebody_is_his_rights_and_no_more_and_then_ours_again(tmp_path: Path) -> None:
    user = look_up("daemon", "")
    assert user is not None
    before = (os.getresuid(), os.getresgid(), os.getgroups())
    (tmp_path / "secret").write_text("root's own")
    (tmp_path / "secret").chmod(0o600)
    with suppress(ZeroDivisionError), acting_as(user):
        with pytest.raises(PermissionError):
            (tmp_path / "secret").read_text()
        assert (os.getresuid(), os.getresgid()) == ((0, user.uid, 0), (0, user.gid, 0))
        assert sorted(os.getgroups()) == sorted(user.groups)
        raise ZeroDivisionError
    assert (os.getresuid(), os.getresgid(), os.getgroups()) == before
    assert (tmp_path / "secret").read_text() == "root's own"


def test_acting_as_nobody_in_particular_changes_nothing() -> None:
    before = (os.getresuid(), os.getresgid(), os.getgroups())
    with acting_as(None):
        assert (os.getresuid(), os.getresgid(), os.getgroups()) == before
