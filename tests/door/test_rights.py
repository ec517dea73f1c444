import os
import pwd

import pytest

from frontdoor.door import rights
from frontdoor.door.refusal import CannotStart

ME = pwd.getpwuid(os.geteuid()).pw_name


def test_who_runs_as_the_user_of_the_config_has_nothing_to_say() -> None:
    assert rights.why_ignored("") == rights.why_ignored(ME) == ""
    rights.refuse_root("")
    rights.refuse_root(ME)


@pytest.mark.parametrize("user", ["daemon", "nosuchuser"])
def test_who_does_not_says_so_and_as_root_does_not_go_on(user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    rights.refuse_root(user)
    assert (
        rights.why_ignored(user) == f"only a frontdoor that is started by root can run as {user}: it runs as uid 4711"
    )
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(CannotStart, match=f"was set to {user} while frontdoor was being started: start it again"):
        rights.refuse_root(user)
