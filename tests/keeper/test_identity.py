from __future__ import annotations

import grp
import os
import pwd

import pytest

from frontdoor.keeper.identity import IdentityError, look_up


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
