from __future__ import annotations

import itertools
import json
import os
import resource
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from frontdoor.config import HooksSettings
from frontdoor.control.events import VOCABULARY
from frontdoor.hooks import hook as one_hook
from frontdoor.hooks.excerpt import Excerpt
from frontdoor.hooks.hooks import QUEUE, TOLD, Hooks
from frontdoor.keeper.link import ChildReport, Link
from keeper.watching import alive, children, descriptors
from processes.house import PATIENCE, linked_keeper, until, write_line

READY = {"event": "backend.ready", "door": "main", "version": "v2", "generation": "v2#7", "pid": 4711, "after_s": 0.8}
SWAP = {"event": "swap.started", "door": "main", "version": "v2", "swap": 3, "from": "v1#6", "to": "v2#7"}

NO_DESCRIPTOR = "the before_swap hook could not be started: frontdoor is at its limit of open files (RLIMIT_NOFILE)"


class Porch:
    """The hooks of a door, run by a real keeper; what they print, and what is said of them."""

    def __init__(self, link: Link, keeper: int, folder: str, nursery: trio.Nursery) -> None:
        self.link = link
        self.keeper = keeper
        self.folder = folder
        self.settings = HooksSettings()
        self.at_most = "30s"
        self.failures: list[dict[str, Any]] = []
        self.printed: list[tuple[str, int, str]] = []
        self.hooks = Hooks(
            door="main",
            settings=lambda: self.settings,
            folder=folder,
            control=f"{folder}/control.sock",
            link=link,
            say=self._say,
            output=lambda about, hook, pid, line: self.printed.append((hook, pid, line)),
        )
        self.running = trio.CancelScope()
        self.reports: list[ChildReport] = []
        link.on_exit = self._on_exit
        nursery.start_soon(self._run)

    async def _run(self) -> None:
        with self.running:
            await self.hooks.run()

    def _say(self, event: str, /, **fields: Any) -> None:
        assert event == "hook.failed"
        self.failures.append(fields)

    def _on_exit(self, report: ChildReport) -> None:
        self.reports.append(report)
        assert self.hooks.on_report(report)

    def configure(self, **hooks: str | list[str]) -> None:
        """These are the hooks from now on; one that is a string is a shell's line."""
        commands = {name: ("sh", "-c", hook) if isinstance(hook, str) else tuple(hook) for name, hook in hooks.items()}
        self.settings = HooksSettings.model_validate({**commands, "timeout": self.at_most})

    def file(self, name: str, text: str, mode: int = 0o755) -> str:
        with open(f"{self.folder}/{name}", "w") as file:
            file.write(text)
        os.chmod(f"{self.folder}/{name}", mode)
        return f"{self.folder}/{name}"

    def fifo(self) -> str:
        path = f"{self.folder}/fifo{len(os.listdir(self.folder))}"
        os.mkfifo(path)
        return path

    @property
    def lines(self) -> list[str]:
        """All that was printed."""
        return [line for _, _, line in self.printed]

    async def line(self, number: int = 0) -> str:
        """Wait for a line."""
        await until(lambda: len(self.printed) > number)
        return self.lines[number]

    async def failed(self, number: int = 0) -> dict[str, Any]:
        """Wait until a hook has failed; what is said."""
        await until(lambda: len(self.failures) > number)
        return self.failures[number]

    async def veto(self, hook: str | list[str]) -> str | None:
        self.configure(before_swap=hook)
        with trio.fail_after(PATIENCE):
            return await self.hooks.veto("before_swap", SWAP)

    def is_empty(self) -> bool:
        """Whether no hook is left, in the keeper or here."""
        return not children(self.keeper) and not self.hooks._hooks


@pytest.fixture
async def porch() -> AsyncIterator[Porch]:
    async with linked_keeper() as (link, keeper, folder, nursery):
        held, ours_open = descriptors(keeper), descriptors()
        porch = Porch(link, keeper, folder, nursery)
        yield porch
        await until(porch.is_empty)
        await until(lambda: descriptors(keeper) == held)
        assert descriptors() == ours_open


# -- what a hook is told --------------------------------------------------------------------------------------------


async def test_it_gets_the_event_as_json_and_in_its_environment(porch: Porch) -> None:
    porch.configure(ready="cat; pwd -L; env | grep ^FRONTDOOR_ | sort")
    porch.hooks.publish({**READY, "reason": "two\nlines\0"})
    await porch.line(11)
    assert json.loads(porch.lines[0]) == {**READY, "reason": "two\nlines\0"}
    assert porch.lines[1:] == [
        porch.folder,
        f"FRONTDOOR_CONTROL={porch.folder}/control.sock",
        "FRONTDOOR_DOOR=main",
        "FRONTDOOR_EVENT=backend.ready",
        "FRONTDOOR_FROM=",
        "FRONTDOOR_GENERATION=7",
        "FRONTDOOR_PID=4711",
        r"FRONTDOOR_REASON=two\nlines\x00",
        "FRONTDOOR_SWAP=",
        "FRONTDOOR_TO=",
        "FRONTDOOR_VERSION=v2",
    ]
    await until(lambda: porch.reports)
    name, pid, _ = porch.printed[0]
    assert (name, pid) == ("ready", porch.reports[0].pid)
    assert not porch.failures


async def test_a_program_of_the_config_s_folder_is_found_there(porch: Porch) -> None:
    porch.file("hook", '#!/bin/sh\necho "$@" $FRONTDOOR_SWAP $FRONTDOOR_FROM $FRONTDOOR_TO\n')
    assert await porch.veto(["./hook", "{no placeholder}", "$HOME"]) is None
    assert porch.lines == ["{no placeholder} $HOME 3 v1#6 v2#7"]


async def test_each_hook_gets_its_events_one_after_the_other(porch: Porch) -> None:
    fifo = porch.fifo()
    porch.configure(ready=f"read x < {fifo}; echo $FRONTDOOR_PID", exited="echo $FRONTDOOR_EVENT")
    for pid in range(3):
        porch.hooks.publish({**READY, "pid": pid})
    porch.hooks.publish({"event": "backend.exited", "door": "main"})
    assert await porch.line() == "backend.exited", "another kind does not wait"
    for pid in range(3):
        assert sum(hook.name == "ready" for hook in porch.hooks._hooks.values()) <= 1
        await write_line(fifo)
        assert await porch.line(1 + pid) == str(pid)


async def test_what_has_no_hook_or_is_another_door_s_starts_nothing(porch: Porch) -> None:
    told = dict.fromkeys([*TOLD.values()], "cat")
    porch.configure(**told, before_swap="exit 1")
    for event in VOCABULARY - set(TOLD):
        porch.hooks.publish({"event": event, "door": "main"})
    porch.hooks.publish({**READY, "door": "api"})
    porch.configure()
    for event in TOLD:
        porch.hooks.publish({"event": event, "door": "main"})
    assert await porch.hooks.veto("before_swap", SWAP) is None
    porch.configure(**told)
    porch.hooks.publish(READY)
    await porch.line()
    assert len(porch.lines) == 1
    assert not porch.failures


async def test_what_was_switched_back_has_failed_unless_somebody_has_asked_for_it(porch: Porch) -> None:
    porch.configure(failed="cat")
    back = {"event": "swap.rolled_back", "door": "main", "from": "v2#7", "to": "v1#6"}
    porch.hooks.publish(back)
    porch.hooks.publish({**back, "reason": "one of its processes has crashed"})
    assert json.loads(await porch.line())["reason"] == "one of its processes has crashed"


# -- before_swap ----------------------------------------------------------------------------------------------------


VETOES: list[tuple[str | list[str], str]] = [
    ("exit 3", "exited with code 3"),
    ("echo first; printf 'no deploys\\ton Friday\\n\\n' >&2; exit 1", r"exited with code 1: no deploys\ton Friday"),
    ("kill -SEGV $$", "was ended by SIGSEGV"),
    (["./missing"], "could not be started: command not found: ./missing"),
    (["./plain"], "could not be started: not allowed to run ./plain (is it executable?)"),
    (["./headless"], "could not be started: ./headless"),
    (["sh", "x" * 200_000], "could not be started: spawn: a message of"),
]


async def test_why_a_swap_is_vetoed(porch: Porch) -> None:
    porch.file("plain", "#!/bin/sh\n", 0o644)
    porch.file("headless", "\0\1\2")
    for hook, why in VETOES:
        assert (await porch.veto(hook) or "").startswith(f"the before_swap hook {why}")
    assert await porch.veto("echo fine") is None
    porch.configure(before_swap="exit 0", before_switch="exit 4")
    assert await porch.hooks.veto("before_switch", SWAP) == "the before_switch hook exited with code 4"
    assert not porch.failures


async def test_a_hook_that_hangs_is_ended_with_all_its_group(porch: Porch) -> None:
    began = time.monotonic()
    porch.at_most = "300ms"
    reason = await porch.veto("trap '' TERM; echo waits; sleep 1000 & echo $!; wait")
    assert reason is not None
    assert reason.startswith("the before_swap hook did not end within 0.3 s (hooks.timeout) and was killed: ")
    assert time.monotonic() - began < 3
    assert not alive(int(porch.lines[1]))


async def test_a_hook_may_be_given_all_the_time_it_wants(porch: Porch, nursery: trio.Nursery) -> None:
    fifo = porch.fifo()
    nursery.start_soon(write_line, fifo)
    porch.at_most = "never"
    assert await porch.veto(f"read x < {fifo}") is None


async def test_an_aborted_swap_ends_its_hook(porch: Porch) -> None:
    porch.at_most = "never"
    porch.configure(before_swap="sleep 1000 & echo $!; wait")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(porch.hooks.veto, "before_swap", SWAP)
        child = int(await porch.line())
        nursery.cancel_scope.cancel()
    assert not alive(child)
    assert porch.is_empty()


async def test_a_swap_that_is_aborted_while_its_hook_is_started_leaves_none(porch: Porch) -> None:
    porch.configure(before_swap="sleep 1000")
    for turns in range(6):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(porch.hooks.veto, "before_swap", SWAP)
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        await until(porch.is_empty)


# -- hooks that fail ------------------------------------------------------------------------------------------------


async def test_a_failing_hook_is_said_and_stops_nothing(porch: Porch) -> None:
    porch.configure(ready="seq 30; exit 9", switched=["./missing"])
    porch.hooks.publish({**READY, "swap": 3})
    failed = await porch.failed()
    assert failed.pop("pid") > 1
    assert failed == {
        "hook": "ready",
        "reason": "exited with code 9",
        "output": [str(number) for number in range(11, 31)],
        "version": "v2",
        "generation": "v2#7",
        "swap": 3,
    }
    porch.hooks.publish({"event": "swap.switched", "door": "main"})
    failure = await porch.failed(1)
    assert failure["hook"] == "switched"
    assert failure["reason"] == "could not be started: command not found: ./missing"
    porch.configure(ready="echo again")
    porch.hooks.publish(READY)
    await until(lambda: porch.lines[-1] == "again")


async def test_a_hook_that_does_not_read_its_event_is_no_failure(porch: Porch) -> None:
    assert await porch.veto("exec <&-; exit 0") is None
    porch.configure(ready="exit 0")
    porch.hooks.publish({**READY, "more": "x" * 1_000_000})
    await until(lambda: len(porch.reports) >= 2)
    assert not porch.failures


async def test_a_child_that_keeps_the_output_open_does_not_keep_the_hook(porch: Porch) -> None:
    began = time.monotonic()
    assert await porch.veto("sleep 1000 & echo $!") is None
    assert not alive(int(porch.lines[0])), "it was of the hook's group"
    assert await porch.veto("setsid sleep 1000 & echo started") is None
    assert time.monotonic() - began < 3
    left = children(porch.keeper)
    assert len(left) <= 1
    for pid in left:  # it left the group, and is nobody's but the test's
        os.kill(pid, signal.SIGKILL)


async def test_a_flood_costs_neither_time_nor_memory_nor_the_log(porch: Porch, nursery: trio.Nursery) -> None:
    before, longest = memory(), 0.0

    async def feel() -> None:
        nonlocal longest
        while True:
            began = time.perf_counter()
            await trio.lowlevel.checkpoint()
            longest = max(longest, time.perf_counter() - began)
            await trio.sleep(0.001)

    nursery.start_soon(feel)
    began = time.monotonic()
    reason = await porch.veto("yes flood | head -c 100000000; echo; echo out of disk; exit 1")
    print(f"100 MB in {time.monotonic() - began:.2f} s, others waited {longest * 1000:.1f} ms at most")
    assert reason == "the before_swap hook exited with code 1: out of disk"
    assert memory() - before < 8_000_000
    assert porch.lines[:100] == ["flood"] * 100
    assert len(porch.lines) == 101
    assert porch.lines[100].startswith("… 16666568 more lines (100 MB) not shown")
    nursery.cancel_scope.cancel()


async def test_a_keeper_that_has_no_descriptor_left_is_a_failure_like_any_other(porch: Porch) -> None:
    before = resource.prlimit(porch.keeper, resource.RLIMIT_NOFILE)
    for spare in range(5):  # the event, both ends of its output, both of the word that it runs
        resource.prlimit(porch.keeper, resource.RLIMIT_NOFILE, (limit(porch.keeper, spare), before[1]))
        assert await porch.veto("exit 0") == NO_DESCRIPTOR
    resource.prlimit(porch.keeper, resource.RLIMIT_NOFILE, before)
    assert await porch.veto("exit 0") is None


async def test_a_door_process_that_has_none_left_leaves_no_hook_behind(porch: Porch) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    for spare in range(2):  # the event, and its output, which comes when it runs already
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit(os.getpid(), spare), before[1]))
        try:
            reason = await porch.veto("sleep 1000")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert reason == NO_DESCRIPTOR
    assert await porch.veto("exit 0") is None


async def test_a_hook_that_not_even_sigkill_ends_is_not_waited_for(
    porch: Porch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_hook, "ENDING", 0.0)
    porch.at_most = "200ms"
    reason = await porch.veto("echo up; sleep 1000")
    assert reason is not None
    assert "did not end within 0.2 s" in reason
    assert porch.hooks._hooks, "it is still looked after"
    await until(porch.is_empty)


async def test_a_keeper_that_does_not_answer_is_not_waited_for(porch: Porch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_hook, "ENDING", 0.05)
    porch.at_most = "100ms"
    os.kill(porch.keeper, signal.SIGSTOP)
    reason = await porch.veto("sleep 1000")
    assert reason == "the before_swap hook could not be started within 0.1 s: the keeper did not answer"
    os.kill(porch.keeper, signal.SIGCONT)
    await until(porch.is_empty)  # what it starts now has been given up, and is ended


async def test_an_error_of_frontdoor_s_own_is_a_failed_hook_and_no_more(
    porch: Porch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise LookupError("oh")

    porch.configure(ready="echo again")
    with monkeypatch.context() as patch:
        patch.setattr(Excerpt, "run", broken)
        porch.hooks.publish(READY)
        assert "LookupError('oh')" in (await porch.failed())["reason"]
    porch.hooks.publish(READY)
    assert await porch.line() == "again"


# -- while hooks run ------------------------------------------------------------------------------------------------


async def test_a_reload_changes_the_next_run(porch: Porch) -> None:
    fifo = porch.fifo()
    porch.configure(ready=f"echo up; read x < {fifo}; echo old {fifo}")
    for _ in range(2):
        porch.hooks.publish(READY)
    await porch.line()
    porch.configure(ready="echo new")
    await write_line(fifo)
    await porch.line(2)
    assert porch.lines[1:] == [f"old {fifo}", "new"]


async def test_a_hook_that_a_reload_took_away_is_not_run_for_what_waits(porch: Porch) -> None:
    fifo = porch.fifo()
    porch.configure(ready=f"echo up; read x < {fifo}")
    for _ in range(5):
        porch.hooks.publish(READY)
    await porch.line()
    porch.configure(exited="echo bye")
    await write_line(fifo)
    await until(lambda: porch.is_empty() and not porch.hooks._queues["ready"]._events)
    assert porch.lines == ["up"]
    assert not porch.failures


async def test_too_many_events_lose_the_oldest_and_that_is_said(porch: Porch) -> None:
    fifo = porch.fifo()
    porch.configure(exited=f"read x < {fifo}; echo $FRONTDOOR_PID")
    porch.hooks.publish({"event": "backend.exited", "pid": 0})
    await until(lambda: porch.hooks._hooks)
    for pid in range(1, QUEUE + 6):
        porch.hooks.publish({"event": "backend.exited", "pid": pid})
    await write_line(fifo)
    failure = await porch.failed()
    assert failure == {"hook": "exited", "reason": "5 events dropped: they came faster than it could be run"}
    await write_line(fifo)
    assert [await porch.line(0), await porch.line(1)] == ["0", "6"]
    porch.running.cancel()


async def test_the_end_of_the_door_ends_its_hooks(porch: Porch) -> None:
    porch.at_most = "never"
    porch.configure(**dict.fromkeys(TOLD.values(), "sleep 1000 & echo $!; wait"))
    for event in TOLD:
        porch.hooks.publish({"event": event, "door": "main"})
    await porch.line(len(set(TOLD.values())) - 1)
    porch.running.cancel()
    await until(porch.is_empty)
    assert not any(alive(int(line)) for line in porch.lines)
    assert not porch.failures


async def test_the_keeper_s_word_about_others_is_not_taken(porch: Porch) -> None:
    assert not porch.hooks.on_report(ChildReport("main/g1/0.1", 1, {}, 0, gone=True))


def limit(pid: int, spare: int) -> int:
    """The RLIMIT_NOFILE that leaves the process so many descriptors: numbers below it that are free."""
    names = os.listdir(f"/proc/{pid}/fd")
    taken = {int(name) for name in names if os.path.lexists(f"/proc/{pid}/fd/{name}")}  # the listing's own is closed
    return next(itertools.islice((number for number in itertools.count() if number not in taken), spare, None))


def memory() -> int:
    """Bytes of this process' memory, shared ones aside."""
    with open("/proc/self/statm") as file:
        words = file.read().split()
    return (int(words[1]) - int(words[2])) * os.sysconf("SC_PAGESIZE")
