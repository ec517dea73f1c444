"""A canary of an http door: its share of the requests, and visitors who stay with the version that they have seen."""

import os
import re
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from e2e.browsers import Client, Visit
from e2e.doors import Changing, OneDoor
from e2e.harness import until
from e2e.kill import kill

Only = Callable[..., OneDoor]

TALKER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "apps", "talker.py")
HTTP: dict[str, Any] = {"protocol": "http", "backends": {"*": {"command": ["{python}", "-I", "-S", TALKER]}}}
BY_COOKIE = {**HTTP, "canary": {"sticky": "cookie"}}
BY_HEADER = {**HTTP, "canary": {"sticky": "header"}}

COOKIE = re.compile(r"frontdoor_canary=([0-9a-f]{16}); Path=/; Max-Age=(\d+); HttpOnly; SameSite=Lax")


def ask(client: Client, **headers: str) -> tuple[str, str | None]:
    """Which version answers, and what it sets as a cookie."""
    client.request("GET", "/", headers=headers)
    answer = client.getresponse()
    assert answer.status == 200
    return answer.read().decode().partition("#")[0], answer.headers["Set-Cookie"]


def versions(client: Client, count: int, **headers: str) -> Counter[str]:
    return Counter(ask(client, **headers)[0] for _ in range(count))


def tried_out(door: OneDoor, share: str, *more: str) -> str:
    """`frontdoor swap v2 --canary`; what it says."""
    swap = door.run("swap", "v2", "--canary", share, *more)
    assert swap.returncode == 0, swap
    return swap.stdout + swap.stderr


class Visitor:
    """Somebody with a browser, which keeps cookies."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.cookie = ""
        self.sees: list[str] = []

    def comes(self) -> str:
        """Ask once; which version answers."""
        version, set_cookie = ask(self._client, **({"Cookie": f"theme=dark; {self.cookie}"} if self.cookie else {}))
        assert bool(set_cookie) is not bool(self.cookie), "a cookie is set once"
        if set_cookie:
            assert COOKIE.fullmatch(set_cookie), set_cookie
            self.cookie = set_cookie.partition(";")[0]
        self.sees.append(version)
        return version


def crowd(client: Client, count: int) -> list[Visitor]:
    return [Visitor(client) for _ in range(count)]


# -- its share of the requests ----------------------------------------------------------------------------------------


def test_of_the_requests_of_one_connection_exactly_the_share_goes_to_the_canary(only: Only, visit: Visit) -> None:
    door = only(**HTTP)
    client = visit(door)
    assert ask(client) == ("v1", None)
    tried_out(door, "5%")
    assert versions(client, 200) == {"v1": 190, "v2": 10}
    assert door.run("canary", "50%").returncode == 0
    assert versions(client, 100) == {"v1": 50, "v2": 50}
    canary = door.status()["canary"]
    assert (canary["by"], canary["sticky"]) == ("stream", None)
    assert [(side["generation"], side["streams"]) for side in canary["sides"]] == [("v2#2", 60), ("v1#1", 240)]
    assert "canary: v2#2 gets 50% of new requests, until" in door.run("status").stdout
    assert door.run("promote").returncode == 0
    assert versions(client, 20) == {"v2": 20}
    assert versions(client, 20, Cookie="frontdoor_canary=00c0ffee00c0ffee") == {"v2": 20}


# -- by cookie --------------------------------------------------------------------------------------------------------


def test_a_visitor_stays_with_his_version_and_goes_to_the_canary_once(
    only: Only, visit: Visit, changing: Changing
) -> None:
    door = only(**BY_COOKIE)
    client = visit(door)
    assert ask(client) == ("v1", None), "there is no cookie where there is no canary"
    tried_out(door, "5%")
    visitors = crowd(client, 300)
    before: set[Visitor] = set()
    for share, least, most in (("5%", 4, 30), ("25%", 50, 100), ("60%", 150, 210)):
        if share != "5%":
            assert door.run("canary", share).returncode == 0
        for _ in range(2):
            for visitor in visitors:
                visitor.comes()
        if share == "25%":
            changing.kill_door_process()  # the next one knows them too
            client.close()
            for visitor in visitors:
                visitor.comes()
        inside = {visitor for visitor in visitors if visitor.sees[-1] == "v2"}
        print(f"{share}: {len(inside)} of {len(visitors)} visitors", end="; ")
        assert least <= len(inside) <= most
        assert inside > before
        before = inside
    for visitor in visitors:
        assert visitor.sees == sorted(visitor.sees), "nobody who has seen the canary goes back"
    canary = door.status()["canary"]
    assert (canary["sticky"], canary["share"]) == ("cookie", "60%")
    assert "gets 60% of new requests by cookie, until" in door.run("status").stdout
    numbers = {visitor.cookie for visitor in visitors}
    assert len(numbers) == len(visitors)
    assert door.run("rollback").returncode == 0


@pytest.mark.parametrize(("verb", "serves"), [("promote", "v2"), ("rollback", "v1")])
def test_when_it_is_over_no_cookie_is_set_and_none_means_anything(
    only: Only, visit: Visit, verb: str, serves: str
) -> None:
    door = only(**BY_COOKIE)
    client = visit(door)
    tried_out(door, "50%")
    visitors = crowd(client, 20)
    assert {visitor.comes() for visitor in visitors} == {"v1", "v2"}
    assert door.run(verb).returncode == 0
    assert {visitor.comes() for visitor in visitors} == {serves}
    assert ask(client) == (serves, None)


def test_a_visitor_of_a_canary_that_has_crashed_is_served_by_the_other_until_it_is_back(
    only: Only, visit: Visit
) -> None:
    door = only(**BY_COOKIE, probation={"crashes": 10, "failures": 100})
    client = visit(door)
    tried_out(door, "50%")
    visitor = next(visitor for visitor in crowd(client, 100) if visitor.comes() == "v2")
    kill(door.pid("v2#2"), signal.SIGKILL)  # it is started again in a quarter of a second
    assert visitor.comes() == "v1"
    until(lambda: visitor.comes() == "v2", "he is back with the canary")
    assert door.run("rollback").returncode == 0


# -- by header --------------------------------------------------------------------------------------------------------


def test_by_header_whoever_asks_for_a_version_gets_it_and_the_others_their_share(only: Only, visit: Visit) -> None:
    door = only(**BY_HEADER)
    client = visit(door)
    canary: dict[str, str] = {"X-Canary": "yes"}
    assert ask(client, **canary) == ("v1", None)
    tried_out(door, "0%")
    assert versions(client, 20) == {"v1": 20}
    assert [versions(client, 5, **{"x-canary": value}) for value in ("yes", "1", "v2", "v2#2")] == [{"v2": 5}] * 4
    assert [versions(client, 5, **{"x-canary": value}) for value in ("no", "0", "v1", "")] == [{"v1": 5}] * 4
    assert door.run("canary", "10%").returncode == 0
    got = Counter[str]()
    for _ in range(10):
        got += versions(client, 10)
        assert versions(client, 3, **canary) == {"v2": 3}, "they take nobody's turn"
    assert got == {"v1": 90, "v2": 10}
    assert "gets 10% of new requests by header, until" in door.run("status").stdout
    assert door.run("rollback").returncode == 0
    assert ask(client, **canary) == ("v1", None)
