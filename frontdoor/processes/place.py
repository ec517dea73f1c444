"""Where a process runs: what it needs to know of its door and its generation."""

from collections.abc import Callable
from dataclasses import dataclass

from frontdoor.config import HealthSettings


@dataclass(frozen=True, slots=True)
class Place:
    """What a process needs to know of where it runs."""

    door: str
    version: str
    number: int
    runtime_dir: str
    folder: str
    """Of its generation's sockets."""
    note: dict[str, object]
    """Kept by the keeper with the process."""
    health: Callable[[], HealthSettings | None]
    """The settings of the health check as they are now; None: there is none."""


Say = Callable[..., object]
"""Publish an event about this generation: ``say("backend.ready", pid=4711)``."""
