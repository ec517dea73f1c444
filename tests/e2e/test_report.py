"""`frontdoor report`: what is kept of a swap, and shown to who asks for it later."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from e2e.crowded import come_of_age, kill_9, upgrade
from e2e.harness import Client, Frontdoor, greeter, until
from e2e.shared import Shared

Serve = Callable[..., Frontdoor]
Anew = Callable[..., Shared]

FAILING = {"backends": {"v2": {"command": greeter("--say", "no database: <gone> & lost", "--exit", "3")}}}
NAMES = ("started", "switched", "settled", "ended")


def opened(door: Frontdoor, count: int) -> list[Client]:
    clients = [door.connect() for _ in range(count)]
    for client in clients:
        assert client.generation  # it has been greeted: it counts
    return clients


def get(door: Frontdoor, which: str = "last") -> dict[str, Any]:
    return door.control.ask(f"/v1/doors/{door.status()['name']}/reports/{which}")


def ended(door: Frontdoor, which: str = "last") -> dict[str, Any]:
    """The report, once nothing more comes of the swap. In it every sum adds up."""

    def look() -> dict[str, Any]:
        found = get(door, which)
        return found if found["ended"] else {}

    found = until(look, "the report is complete")
    for name, seen in found["looks"].items():
        assert seen["accepted"] == seen["open"] + sum(seen["ended"].values()), name
    times = [at for at, _, _ in found["curve"]]
    assert times == sorted(times)
    return found


def file_of(door: Frontdoor, number: int = 1) -> str:
    return door.path(f"run/swaps/{door.status()['name']}-{number:06}.json")


def saved(door: Frontdoor, number: int = 1) -> dict[str, Any]:
    """What is in the file, as soon as it is complete: nobody waits for it who swaps."""

    def look() -> dict[str, Any]:
        if not os.path.exists(file_of(door, number)):
            return {}
        with open(file_of(door, number)) as file:
            found: dict[str, Any] = json.load(file)
        return found if found["ended"] else {}

    return until(look, "the report is written")


def events(report: dict[str, Any]) -> list[str]:
    return [event["event"] for event in report["events"]]


# -- what is in it -----------------------------------------------------------------------------------------------------


def test_a_swap_and_a_drain_that_had_to_be_closed(anew: Anew) -> None:
    door = anew()
    old = opened(door, 5)
    swapping = door.begin("swap", "v2", "--wait", "drained")
    door.logs("swap.settled")
    (new,) = opened(door, 1)
    old[0].close()
    until(lambda: door.generation("v1#1")["streams"]["open"] == 4, "one has ended by itself")

    under_way = door.run("report")
    assert under_way.returncode == 0, under_way
    assert "v1#1 → v2#2, switched, not over yet" in under_way.stdout
    assert "v1#1 still has 4 streams" in under_way.stdout
    assert get(door)["ended"] is None

    door.run("drain", "v1", "--now")
    for client in old[1:]:
        assert client.hear() == ""
        client.close()
    assert swapping.ended().returncode == 6
    report = ended(door)
    assert (report["verb"], report["from"], report["to"], report["outcome"]) == ("swap", "v1#1", "v2#2", "switched")
    assert (report["cut"], report["exit_code"]) == (4, 6)
    assert 0 < report["ready_s"] <= report["switched_s"] < report["drained_s"]
    assert tuple(report["looks"]) == NAMES
    at_the_switch, at_the_end = report["looks"]["switched"], report["looks"]["ended"]
    assert (at_the_switch["old"]["open"], at_the_switch["new"]["open"]) == (5, 0)
    assert (at_the_end["old"]["open"], at_the_end["new"]["open"]) == (0, 1)
    assert at_the_end["old"]["ended"] == {"client_closed": 1, "drain_closed": 4}
    assert at_the_end["old"]["total"] == 5 == sum(at_the_end["old"]["ended"].values())
    assert report["curve"][0][1] == 5
    assert report["curve"][-1][1:] == [0, 1]
    assert events(report)[0] == "swap.started"
    assert "drain.finished" in events(report)
    assert saved(door) == report
    assert os.stat(door.path("run/swaps")).st_mode & 0o777 == 0o700

    text = door.run("report", "1").stdout
    assert text.startswith(f"Swap 1 of the door {door.status()['name']}: v1#1 → v2#2, switched, 4 streams cut\n")
    for line in ("v2#2 was ready", "the client closed it  1", "the drain closed it   4", "4 streams had to be closed"):
        assert line in text
    assert f"{at_the_end['accepted']} accepted = {at_the_end['open']} open + " in text
    assert new.ask("still here?") == "still here?"


def test_one_that_failed_says_why(anew: Anew) -> None:
    door = anew(**FAILING)
    assert door.run("swap", "v2").returncode == 4
    report = ended(door)
    assert (report["outcome"], report["switched"], report["exit_code"]) == ("failed", None, 4)
    assert "exited with code 3" in report["reason"]
    assert report["output"] == ["no database: <gone> & lost"]
    text = door.run("report").stdout
    assert "v1#1 → v2#2, failed" in text
    assert "no database: <gone> & lost" in text


def test_one_that_a_hook_has_vetoed_and_one_that_was_aborted(anew: Anew) -> None:
    door = anew(
        hooks={"before_swap": ["sh", "-c", '! grep -q \'"to": "v2\' || { echo not today; exit 1; }']},
        backends={"v3": {"command": greeter("--wait-for", "go")}},
    )
    assert door.run("swap", "v2").returncode == 1
    vetoed = ended(door, "1")
    assert (vetoed["outcome"], vetoed["switched"]) == ("vetoed", None)
    assert "not today" in vetoed["reason"]

    swapping = door.begin("swap", "v3")
    door.logs("backend.starting", generation="v3#3")
    swapping.interrupt()
    assert swapping.ended().returncode == 130
    aborted = ended(door, "2")
    assert (aborted["outcome"], aborted["exit_code"], aborted["to"]) == ("aborted", 130, "v3#3")


def test_a_rollback_takes_the_old_one_back_and_both_reports_say_so(anew: Anew) -> None:
    door = anew()
    (old,) = opened(door, 1)
    door.swap("v2")
    assert door.run("rollback").returncode == 0
    first = ended(door, "1")
    assert (first["outcome"], first["recalled"], first["exit_code"]) == ("switched", True, 1)
    back = ended(door, "2")
    assert (back["verb"], back["from"], back["to"]) == ("rollback", "v2#2", "v1#1")
    assert (back["outcome"], back["reused"], back["cut"]) == ("switched", True, 0)
    assert back["looks"]["switched"]["new"]["open"] == 1
    listed = door.run("report", "--list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["SWAP", "2", "1"]
    assert "was made active again" in door.run("report", "1").stdout
    assert old.ask("hello") == "hello"


def test_one_that_failed_in_its_probation_is_rolled_back_with_the_drain_of_what_it_had(anew: Anew) -> None:
    door = anew(swap={"bake": "20s"})
    opened(door, 2)
    swapping = door.begin("swap", "v2")
    door.logs("swap.switched")
    killer = door.connect()
    assert killer.generation == "v2#2"
    killer.say("exit 9")
    assert swapping.ended().returncode == 7
    killer.close()
    report = ended(door)
    assert (report["outcome"], report["exit_code"]) == ("rolled_back", 7)
    assert report["reason"] == "one of its processes has crashed"
    assert report["looks"]["ended"]["new"]["crashes"] == 1
    assert "rolled back" in door.run("report").stdout


# -- how it is shown ---------------------------------------------------------------------------------------------------


def test_as_a_picture_which_a_browser_draws(anew: Anew, tmp_path: Path) -> None:
    door = anew(**FAILING)
    opened(door, 3)
    door.run("swap", "v2")
    ended(door)
    assert door.run("report", "--svg", "swap.svg").returncode == 0
    with open(door.path("swap.svg")) as file:
        text = file.read()
    assert door.run("report", "--svg", "-").stdout == text
    drawn = ElementTree.fromstring(text)
    title = drawn.find("{http://www.w3.org/2000/svg}title")
    assert title is not None
    assert title.text == f"Swap 1 of the door {door.status()['name']}: v1#1 → v2#2, failed"
    assert "prefers-color-scheme:dark" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", ""), "it needs nothing from anywhere"
    unwritable = door.run("report", "--svg", "no/such/folder/swap.svg")
    assert unwritable.returncode == 2
    assert "cannot be written" in unwritable.stderr
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium here")
    picture = tmp_path / "swap.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--window-size=960,900"]
    asked = [chromium, *options, f"--screenshot={picture}", f"file://{door.path('swap.svg')}"]
    subprocess.run(asked, check=True, capture_output=True, timeout=60)
    assert picture.stat().st_size > 20_000, "more than an empty page has"


def test_who_asks_for_one_that_there_is_not_is_told_which_there_are(anew: Anew) -> None:
    door = anew()
    name = door.status()["name"]
    nothing = door.run("report")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert f"there is no report of the door {name} yet" in nothing.stderr
    assert door.run("report", "--list").stderr == "no swap yet: each one leaves a report\n"
    door.swap("v2")
    ended(door)
    unknown = door.run("report", "7")
    assert unknown.returncode == 1
    assert f"there is no report of swap 7 of the door {name}: there is 1" in unknown.stderr
    for wrong, status in (("reports/0x7", 404), ("reports/7", 404), ("reports/1?format=pdf", 400)):
        assert door.control.get(f"/v1/doors/{name}/{wrong}")[0] == status, wrong


# -- what it survives --------------------------------------------------------------------------------------------------


def test_a_report_goes_on_over_kill_9_and_an_upgrade(anew: Anew) -> None:
    door = anew()
    old = opened(door, 3)
    come_of_age()
    door.swap("v2")
    old[0].close()
    until(lambda: door.generation("v1#1")["streams"]["open"] == 2, "one has ended")
    come_of_age()  # and the keeper was told so: of what a generation has counted a crash forgets the last second

    kill_9(door)
    until(lambda: "door.restored" in events(get(door)), "the next door process goes on with it")
    old[1].close()
    until(lambda: door.generation("v1#1")["streams"]["open"] == 1, "another one has ended")
    upgrade(door)
    until(lambda: events(get(door)).count("door.restored") == 2, "and the one after it")
    assert get(door)["ended"] is None
    old[2].close()
    report = ended(door)
    assert (report["outcome"], report["cut"], report["exit_code"]) == ("switched", 0, 0)
    assert report["curve"][0][1] == 3
    assert report["curve"][-1][1] == 0
    assert len(report["gaps"]) == 2
    assert report["looks"]["ended"]["old"]["ended"] == {"client_closed": 3}
    assert "another door process went on" in door.run("report").stdout


def test_one_that_was_cut_off_in_the_middle_says_so(anew: Anew) -> None:
    door = anew(backends={"v2": {"command": greeter("--wait-for", "go")}})
    door.begin("swap", "v2")
    door.logs("backend.starting", generation="v2#2")
    until(lambda: os.path.exists(file_of(door)), "it is written")
    kill_9(door)
    report = ended(door)
    assert report["outcome"] == "failed"
    assert "door process died" in report["message"]
    assert saved(door)["message"] == report["message"]


def test_what_frontdoor_did_not_follow_to_its_end_is_shown_as_that(serve: Serve) -> None:
    door = serve(drain={"shutdown_timeout": "0s"})
    opened(door, 1)
    door.swap("v2")
    door.run("stop")
    assert door.ends() == 0
    stopped = json.loads(Path(door.path("run/swaps/main-000001.json")).read_text())
    assert stopped["ended"]
    # As if it had been killed, and all with it.
    stopped["ended"] = None
    stopped["number"] = 3
    Path(door.path("run/swaps/main-000003.json")).write_text(json.dumps(stopped))
    Path(door.path("run/swaps/main-000004.json")).write_text('{"schema": 1')
    Path(door.path("run/swaps/notes.txt")).write_text("mine")

    door.start()
    listed = door.control.ask("/v1/doors/main/reports")["reports"]
    assert sorted(each["number"] for each in listed) == [1, 3]
    assert all(each["ended"] for each in listed)
    assert "nobody has followed this to its end" in get(door, "3")["gaps"][-1]
    assert get(door, "1")["outcome"] == "switched"
    door.control.ask("/v1/doors/main/reports")
    assert len(door.logged("report.unusable")) == 1, "a damaged one is said once"
    assert door.control.get("/v1/doors/main/reports/4")[0] == 404
    assert os.path.exists(door.path("run/swaps/notes.txt"))


def test_the_last_hundred_are_kept(anew: Anew) -> None:
    door = anew()
    door.swap("v2")
    report = ended(door)
    saved(door)
    folder, name = door.path("run/swaps"), door.status()["name"]
    for number in range(1001, 1101):
        path = os.path.join(folder, f"{name}-{number:06}.json")
        Path(path).write_text(json.dumps({**report, "number": number}))
        os.utime(path, (number, number))  # older than what comes
    Path(folder, f"{name}x-000001.json").write_text("another door's")
    door.swap("v1")
    until(lambda: not os.path.exists(os.path.join(folder, f"{name}-001002.json")), "the oldest are removed")
    saved(door, 2)
    kept = [entry for entry in os.listdir(folder) if entry.startswith(f"{name}-")]
    assert len(kept) == 100
    assert f"{name}-001100.json" in kept
    assert os.path.basename(file_of(door, 1)) in kept, "the last ones are those that were written last"
    assert os.path.exists(os.path.join(folder, f"{name}x-000001.json"))
    os.unlink(os.path.join(folder, f"{name}x-000001.json"))
    assert len(door.control.ask(f"/v1/doors/{name}/reports")["reports"]) == 100


def test_an_unwritable_folder_is_said_once_and_reports_are_shown_all_the_same(serve: Serve) -> None:
    door = serve()
    door.write("in the way", "run/swaps")
    (client,) = opened(door, 1)
    for version in ("v2", "v3", "v4"):
        assert "is active" in door.swap(version)
    client.close()
    for number in (1, 2, 3):
        assert ended(door, str(number))["outcome"] == "switched"
    until(lambda: door.logged("report.not_written"), "it is said")
    listed = door.control.ask("/v1/doors/main/reports")["reports"]
    assert [each["number"] for each in listed] == [3, 2, 1]
    assert "v3#3 → v4#4" in door.run("report").stdout
    (said,) = door.logged("report.not_written")
    assert (said["level"], said["door"]) == ("error", "main")
    assert "run/swaps" in said["error"]
    # Once it can be written again, it is, and so is what could not be.
    os.unlink(door.path("run/swaps"))
    door.swap("v5")
    assert [saved(door, number)["number"] for number in (1, 2, 3, 4)] == [1, 2, 3, 4]
