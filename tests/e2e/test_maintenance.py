"""`frontdoor maintenance`: requests of an http door are answered 503, and nothing is stopped. And what a pause of an
http door is for requests on open connections.
"""

import os
import signal
import time
from collections.abc import Callable

from e2e.browsers import HTTP, Visits
from e2e.crowded import kill_9
from e2e.doors import Changing, OneDoor
from e2e.harness import Frontdoor, until

Only = Callable[..., OneDoor]
Serve = Callable[..., Frontdoor]

MESSAGE = "We are moving <the database>. Back at 5."


def test_requests_are_answered_503_and_nothing_is_stopped(only: Only, changing: Changing, visits: Visits) -> None:
    door = only(**HTTP)
    browser, echo, slow = visits.browser(door), visits.echo(door), visits.browser(door)
    assert browser.ask() == (200, "v1#1")
    slow.begin("/slow")
    until(lambda: door.status()["streams"]["open"] == 2, "its request is under way, and the echo")

    on = door.run("maintenance", "on", "--message", MESSAGE, "--retry-after", "10m")
    assert (on.returncode, on.stderr) == (0, "")
    says = "requests are answered 503 until frontdoor maintenance off, nothing is stopped"
    assert on.stdout == f"the door {door.name} is in maintenance: {says}\n"

    status, page = browser.ask()
    assert (status, browser.headers["Retry-After"]) == (503, "600")
    assert "Back at 5." in page
    assert "v1#1" not in page
    assert visits.browser(door).ask()[0] == 503, "who comes now, too"
    assert echo.ask(b"still there?") == b"still there?"
    door.touch("go")
    assert slow.hear() == (200, "v1#1"), "what was under way was finished where it began"
    assert slow.ask()[0] == 503

    shown = door.status()["maintenance"]
    assert (shown["message"], shown["retry_after"]) == (MESSAGE, 600)
    assert f"requests are answered 503: {MESSAGE}\n" in door.run("status").stdout
    assert door.swap("v2").startswith("v2#2 is active"), "what is behind it may be changed"
    assert browser.ask()[0] == 503
    again = door.run("maintenance", "on", "--message", MESSAGE, "--retry-after", "10m")
    assert "in maintenance already" in again.stdout

    off = door.run("maintenance", "off")
    assert (off.returncode, off.stdout) == (
        0, f"the door {door.name} is in maintenance no more: requests are served again\n"
    )  # fmt: skip
    assert browser.ask() == (200, "v2#2"), "on the connection that it had before"
    assert echo.ask(b"and now?") == b"and now?"
    assert door.status()["maintenance"] is None
    assert door.run("maintenance", "off").stdout == f"the door {door.name} was not in maintenance\n"
    assert [(entry["event"], entry["message"]) for entry in door.logged("maintenance.on")] == [
        ("maintenance.on", MESSAGE)
    ]
    assert len(door.logged("maintenance.off")) == 1


def test_a_page_of_ones_own_is_shown_with_the_message(only: Only, changing: Changing, visits: Visits) -> None:
    os.mkdir(changing.path("pages"))
    changing.write("<title>{status}</title>{message}", "pages/503.html")
    door = only(**HTTP, http={"error_pages": "pages"})
    browser = visits.browser(door)
    assert browser.ask() == (200, "v1#1")
    assert door.run("maintenance", "on", "--message", MESSAGE).returncode == 0
    assert browser.ask() == (503, "<title>503</title>We are moving &lt;the database&gt;. Back at 5.")
    assert browser.headers["Retry-After"] == "120"


def test_a_door_of_tcp_refuses_it(only: Only) -> None:
    door = only()
    refused = door.run("maintenance", "on")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f'the door {door.name} has protocol = "tcp"' in refused.stderr
    assert door.status()["maintenance"] is None


def test_it_lives_through_a_crash_an_upgrade_and_a_new_start(serve: Serve, visits: Visits) -> None:
    door = serve(**HTTP)
    assert door.run("maintenance", "on", "--message", MESSAGE).returncode == 0
    since = door.status()["maintenance"]["since"]
    kill_9(door)
    assert visits.browser(door).ask()[0] == 503
    assert door.run("upgrade").returncode == 0
    assert visits.browser(door).ask()[0] == 503
    assert door.run("stop").returncode == 0
    assert door.ends() == 0
    door.start()
    browser = visits.browser(door)
    status, page = browser.ask()
    assert (status, "Back at 5." in page) == (503, True)
    assert door.status()["maintenance"]["since"] == since
    assert "frontdoor maintenance off" in door.logs("state.maintenance")["reason"]

    assert door.run("maintenance", "off").returncode == 0
    assert browser.ask() == (200, door.status()["active"])
    assert door.run("stop").returncode == 0
    assert door.ends() == 0
    door.start()
    assert visits.browser(door).ask()[0] == 200
    assert door.status()["maintenance"] is None


def test_a_door_that_becomes_one_of_tcp_has_no_maintenance_any_more(
    only: Only, changing: Changing, visits: Visits
) -> None:
    door = only(**HTTP)
    browser = visits.browser(door)
    assert door.run("maintenance", "on").returncode == 0
    assert browser.ask()[0] == 503
    changing.change(door, **{**HTTP, "protocol": "tcp"})
    assert changing.reload()["exit_code"] == 0
    assert door.logs("maintenance.off")["reason"] == "the door speaks tcp now"
    assert browser.ask() == (200, "v1#1"), "an open connection stays what it is"
    straight = visits.browser(door)
    assert straight.ask() == (200, "v1#1")
    changing.change(door, **HTTP)
    assert changing.reload()["exit_code"] == 0
    assert door.run("maintenance", "on").returncode == 0
    assert straight.ask() == (200, "v1#1"), "nobody reads what goes over it"
    assert browser.ask()[0] == 503
    assert visits.browser(door).ask()[0] == 503


# -- pause -----------------------------------------------------------------------------------------------------------


def test_in_a_pause_requests_on_open_connections_wait_and_get_what_is_active_then(only: Only, visits: Visits) -> None:
    door = only(**HTTP)
    inside, echo = visits.browser(door), visits.echo(door)
    assert inside.ask() == (200, "v1#1")
    assert door.run("pause").returncode == 0
    inside.begin()
    outside = visits.browser(door)
    outside.begin()
    assert inside.hears_nothing_for(0.3)
    assert outside.hears_nothing_for(0.1)
    assert echo.ask(b"hello?") == b"hello?"
    assert door.swap("v2").startswith("v2#2 is active")
    assert door.run("resume").returncode == 0
    assert (inside.hear(), outside.hear()) == ((200, "v2#2"), (200, "v2#2"))
    assert inside.ask() == (200, "v2#2")


def test_who_has_waited_for_the_hold_timeout_gets_503_and_may_ask_again(only: Only, visits: Visits) -> None:
    door = only(**HTTP, limits={"hold_timeout": "300ms"})
    browser = visits.browser(door)
    assert browser.ask() == (200, "v1#1")
    assert door.run("pause").returncode == 0
    began = time.monotonic()
    assert browser.ask()[0] == 503
    assert 0.3 <= time.monotonic() - began < 5
    assert int(browser.headers["Retry-After"]) > 0
    assert door.run("resume").returncode == 0
    assert browser.ask() == (200, "v1#1")


def test_maintenance_in_a_pause_is_told_to_those_who_waited(only: Only, visits: Visits) -> None:
    door = only(**HTTP)
    browser = visits.browser(door)
    assert browser.ask() == (200, "v1#1")
    assert door.run("pause").returncode == 0
    browser.begin()
    assert browser.hears_nothing_for(0.2)
    assert door.run("maintenance", "on").returncode == 0
    assert door.run("resume").returncode == 0
    assert browser.hear()[0] == 503


def test_a_stop_in_a_pause_serves_who_waits_first(serve: Serve, visits: Visits) -> None:
    door = serve(**HTTP)
    inside = visits.browser(door)
    assert inside.ask() == (200, "v1#1")
    assert door.run("pause").returncode == 0
    inside.begin()
    assert inside.hears_nothing_for(0.2)
    door.signal(signal.SIGTERM)
    assert inside.hear(last=True) == (200, "v1#1")
    assert door.ends() == 0


def test_the_next_door_process_is_paused_for_open_connections_too(serve: Serve, visits: Visits) -> None:
    door = serve(**HTTP)
    browser = visits.browser(door)
    assert browser.ask() == (200, "v1#1")
    assert door.run("pause").returncode == 0
    assert door.run("upgrade").returncode == 0
    browser.begin()
    assert browser.hears_nothing_for(0.3)
    assert door.run("resume").returncode == 0
    assert browser.hear() == (200, "v1#1")
