"""What a VERSION or a ``--door`` may be completed to: what the running frontdoor says, or nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from click.shell_completion import CompletionItem

from frontdoor.cli.call import Call
from frontdoor.control.dial import ControlError

PATIENCE = 1.0  # seconds that the prompt of somebody who pressed Tab stands still, at most


def versions(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Return the versions that are known, and the generations that run."""
    chosen = ctx.params.get("door")
    doors = [door for door in _doors(ctx) if chosen in (None, door.get("name"))]
    known = [version for door in doors for version in door.get("versions", [])]
    running = [generation for door in doors for generation in door.get("generations", [])]
    ids = [generation["id"] for generation in running if generation.get("state") not in ("stopped", "failed")]
    return _beginning_with(incomplete, [*known, *ids])


def door_names(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Return the names of the doors."""
    return _beginning_with(incomplete, [door.get("name") for door in _doors(ctx)])


def _beginning_with(incomplete: str, words: Iterable[object]) -> list[CompletionItem]:
    distinct = dict.fromkeys(str(word) for word in words)  # several doors may know the same version
    return [CompletionItem(word) for word in distinct if word.startswith(incomplete)]


def _doors(ctx: click.Context) -> list[dict[str, Any]]:
    call = Call(ctx.params.get("control"), ctx.params.get("config"), door=None, json=True)
    try:
        with _deadline():
            doors = call.client().get("/v1/status", patience=0)[1]["doors"]
    except (ControlError, click.ClickException, OSError, KeyError):
        return []  # the line that is being typed is no place to complain
    return [door for door in doors if isinstance(door, dict)]


@contextmanager
def _deadline() -> Iterator[None]:
    """Bound all of it, whatever it waits in: this process does nothing else. Raises :exc:`TimeoutError`."""

    def late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
