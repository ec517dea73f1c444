"""The remainder of the code: what a door process needs, and traffic does not. It is the control API with its libraries.

It is nearly half of all that is loaded. At a first start, and in an upgrade, it is loaded before anything is said to be
ready. After a crash clients wait: there it is loaded when their bytes move again. In both cases all of it is loaded in
the end, whether it is used or not: the files on disk may be replaced while this process runs, and what were imported
late would then come from another version, or not be there at all.
"""

import codecs
import gc
import importlib
import sys
import threading
import time
import traceback
from collections.abc import Callable
from importlib.abc import MetaPathFinder

import trio

from frontdoor.door.bytecode import Bytecode
from frontdoor.door.refusal import CannotStart

MODULES = (
    "frontdoor.control.server",
    "frontdoor.control.api",
    "frontdoor.control.guard",
    "frontdoor.observe.dashboard",
    "frontdoor.observe.metrics.exposition",
    "frontdoor.observe.metrics.families",
    "frontdoor.observe.reports.picture",
    "frontdoor.observe.reports.text",
    "h11",
)
"""What is imported. The ready check "http:", which alone needs h11, imports it itself if it cannot wait."""

SHORTEST = 0.0005
"""Seconds of work after which it is worth to pause."""

AGAIN = 5.0
"""Seconds until it is tried again to load what could not be loaded."""


class Remainder:
    """It is there, or it is not yet."""

    def __init__(self, bytecode: Bytecode | None = None) -> None:
        self.there = trio.Event()
        self._bytecode = bytecode

    async def load(self) -> None:
        """Load all of it now. Raises CannotStart, after a traceback on stderr."""
        try:
            await trio.to_thread.run_sync(_import_or_say)  # the keeper's pings are answered meanwhile
        except Exception as error:
            raise CannotStart(f"the code cannot be loaded: {_in_words(error)}") from None
        gc.collect()
        gc.freeze()  # what was loaded stays: no collection need look at it again
        self._complete()

    async def load_beside(self, failed: Callable[[str], object]) -> str:
        """Load it while the relay goes on; returns when it is there, with the last reason why it was not; or "".

        ``failed`` is told why it cannot be loaded, once for each reason. It is tried again: whoever installs something
        may be in the midst of it.
        """
        said = ""
        while not self.there.is_set():
            try:
                await trio.to_thread.run_sync(_import_politely, abandon_on_cancel=True)
            except Exception as error:
                reason = _in_words(error)
                if reason != said:
                    failed(reason)
                said = reason
                gc.enable()
                await trio.sleep(AGAIN)
                importlib.invalidate_caches()
            else:
                self._complete()
        return said

    def _complete(self) -> None:
        if self._bytecode is not None:
            self._bytecode.leave()
        gc.enable()  # after a crash without a freeze: streams are there already, and they are to be freed when they end
        self.there.set()


def _in_words(error: Exception) -> str:
    """As the last lines of a traceback: of a SyntaxError, they say where it is."""
    return "".join(traceback.format_exception_only(error)).strip()


def _import() -> None:
    for name in MODULES:
        importlib.import_module(name)
    codecs.lookup("utf-8-sig")  # of the config file, which after a crash nobody reads before the first swap


def _import_or_say() -> None:
    try:
        _import()
    except Exception:
        traceback.print_exc()  # here, where it has nothing in it but the way to the module
        raise


def _import_politely() -> None:
    """Import it in this thread, which leaves at least half of the time to the others."""
    pauses = _Pauses()
    sys.meta_path.insert(0, pauses)
    try:
        _import()
    finally:
        sys.meta_path.remove(pauses)


class _Pauses(MetaPathFinder):
    """Finds nothing, but is asked before each module: there the thread that imports pauses, as long as it has worked.

    Without that the relay would have to wait for the interpreter's lock after each of its system calls, for up to 5 ms
    each time (``sys.setswitchinterval``).
    """

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._until = time.thread_time()

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Pause, if it is the thread that is to. It holds the locks of some modules, and nothing that others need."""
        if threading.get_ident() == self._thread:
            worked = time.thread_time() - self._until
            if worked >= SHORTEST:
                time.sleep(worked)
                self._until = time.thread_time()
