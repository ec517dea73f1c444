"""What is loaded when traffic flows already."""

import gc
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from frontdoor.door import remainder
from frontdoor.door.refusal import CannotStart
from frontdoor.door.remainder import Remainder


@pytest.fixture
def late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of the only module that is to be loaded. There is nothing in its place yet."""
    monkeypatch.setattr(remainder, "MODULES", ("late_module",))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "late_module.py"
    for name in [name for name in sys.modules if name.startswith("late_module")]:
        del sys.modules[name]
    gc.unfreeze()


def write(module: Path, text: str) -> None:
    """At once: a file that is there and has nothing in it yet is a module, too, and loads."""
    new = module.with_suffix(".new")
    new.write_text(text)
    new.rename(module)


async def test_all_is_there_when_it_was_loaded(late: Path) -> None:
    write(late, "")
    loaded = Remainder()
    assert not loaded.there.is_set()
    gc.disable()
    await loaded.load()
    assert loaded.there.is_set()
    assert "late_module" in sys.modules
    assert gc.isenabled()
    assert gc.get_freeze_count() > 1000, "what was loaded is not looked at again"


async def test_a_first_start_without_it_is_none(late: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(late, "import no_such_library")
    with pytest.raises(CannotStart, match="cannot be loaded: ModuleNotFoundError: No module named 'no_such_library'"):
        await Remainder().load()
    assert "late_module.py" in capsys.readouterr().err, "where it was looked for"


async def test_what_cannot_be_loaded_is_said_once_and_tried_again(
    late: Path, autojump_clock: trio.testing.MockClock
) -> None:
    said: list[str] = []
    heard = trio.Event()

    def failed(reason: str) -> None:
        said.append(reason)
        heard.set()

    loaded, reasons = Remainder(), list[str]()

    async def load() -> None:
        reasons.append(await loaded.load_beside(failed))

    gc.disable()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(load)
        await heard.wait()
        assert gc.isenabled(), "it may be long until it is there"
        await trio.sleep(3 * remainder.AGAIN)
        assert said == ["ModuleNotFoundError: No module named 'late_module'"]
        heard = trio.Event()
        write(late, "def (:")
        await heard.wait()
        assert said[1].endswith("SyntaxError: invalid syntax")
        assert "late_module.py" in said[1], "where it is"
        write(late, "there = True")
        await loaded.there.wait()
    assert reasons == [said[1]]
    assert len(said) == 2
    assert sys.modules["late_module"].there


async def test_nothing_is_said_where_all_is_there(late: Path) -> None:
    write(late, "")
    assert await Remainder().load_beside(pytest.fail) == ""


async def test_the_thread_that_loads_pauses_as_long_as_it_works(late: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = 10
    for number in range(modules):
        write(late.with_name(f"late_module{number}.py"), "sum(range(300_000))")
    write(late, "\n".join(f"import late_module{number}" for number in range(modules)))
    paused = list[float]()

    def pause(seconds: float) -> None:
        assert threading.current_thread() is not threading.main_thread()
        paused.append(seconds)

    monkeypatch.setattr(time, "sleep", pause)
    began = time.thread_time()
    worked: list[float] = []
    monkeypatch.setattr(remainder, "_import", _timed(remainder._import, worked))
    await Remainder().load_beside(pytest.fail)
    print(f"{sum(worked) * 1000:.0f} ms of work, {sum(paused) * 1000:.0f} ms of pauses in {len(paused)} parts")
    assert len(paused) >= modules - 1, "one after each module that took time"
    # The last module's time is followed by no pause.
    assert sum(paused) > sum(worked) * (modules - 2) / modules
    assert time.thread_time() - began < sum(worked), "this thread had nothing to do with it"
    assert sys.meta_path[0].__class__.__name__ != "_Pauses", "nothing is left of it"


def _timed(work: object, took: list[float]) -> object:
    def timed() -> None:
        began = time.thread_time()
        work()  # type: ignore[operator]  # a function without arguments
        took.append(time.thread_time() - began)

    return timed
