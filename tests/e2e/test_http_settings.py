"""The settings of an http door: refused where they stand, and after a reload in force for the next request."""

from collections.abc import Callable

from e2e.browsers import HTTP, Visits
from e2e.doors import Changing, OneDoor
from e2e.harness import Frontdoor

Only = Callable[..., OneDoor]


def test_what_a_reload_changes_holds_for_the_next_request_on_a_connection_that_is_open(
    only: Only, changing: Changing, visits: Visits
) -> None:
    door = only(**HTTP)
    browser, echo = visits.browser(door), visits.echo(door)
    assert browser.ask(body="x" * 2000) == (200, "v1#1")
    changing.change(door, **HTTP, http={"max_body": "1KiB"})
    changed = changing.reload()
    assert (changed["exit_code"], changed["changed"]) == (0, [f"doors.{door.name}.http.max_body"])
    assert browser.ask() == (200, "v1#1")
    assert browser.ask(body="x" * 2000, last=True)[0] == 413
    assert echo.ask(b"x" * 5000) == b"x" * 5000, "that is no request any more"


def test_a_folder_of_pages_that_cannot_be_read_is_refused_by_its_line(only: Only, changing: Changing) -> None:
    door = only(**HTTP)
    changing.change(door, **HTTP, http={"error_pages": "nowhere"})
    problem = f"doors.{door.name}.http.error_pages: {changing.path('nowhere')}: there is no such folder"
    checked = changing.run("check", "config.toml")
    assert checked.returncode == 2
    place, _, said = checked.stderr.strip().partition(": ")
    assert (place.rpartition(":")[0], said) == ("config.toml", problem)
    refused = changing.run("reload")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert problem in refused.stderr


def test_another_protocol_is_for_those_who_come_after(only: Only, changing: Changing, visits: Visits) -> None:
    door = only(**{**HTTP, "protocol": "tcp"})
    straight = visits.browser(door)
    assert straight.ask() == (200, "v1#1")
    changing.change(door, **HTTP)
    assert changing.reload()["exit_code"] == 0
    routed = visits.browser(door)
    assert routed.ask() == (200, "v1#1")
    assert door.swap("v2").startswith("v2#2 is active")
    assert (straight.ask(), routed.ask()) == ((200, "v1#1"), (200, "v2#2"))

    changing.change(door, **{**HTTP, "protocol": "tcp"})
    assert changing.reload()["exit_code"] == 0
    assert door.status()["protocol"] == "tcp"
    late = visits.browser(door)
    assert late.ask() == (200, "v2#2")
    assert door.swap("v3").startswith("v3#3 is active")
    assert (straight.ask(), routed.ask(), late.ask()) == ((200, "v1#1"), (200, "v3#3"), (200, "v2#2"))


def test_what_tcp_cannot_do_starts_nothing(prepare: Callable[..., Frontdoor]) -> None:
    door = prepare(http={"max_body": "1KiB"}).launch()
    assert door.ends() == 2
    assert 'http: the protocol of this door is "tcp"' in door.log_text
