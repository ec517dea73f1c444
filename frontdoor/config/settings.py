"""The settings of a door. Durations are float seconds, "never" is `math.inf`."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, ValidationInfo

from frontdoor.config.addresses import parse_address
from frontdoor.config.backends import (
    EVERY_VERSION,
    VERSION,
    BackendSettings,
    Table,
    UnknownVersion,
    check_shell_line,
    context_of,
)
from frontdoor.config.canary import CanarySettings
from frontdoor.config.drain import DrainSettings
from frontdoor.config.durations import Duration, Positive, Span, finite, positive
from frontdoor.config.http import HttpSettings
from frontdoor.config.networks import Networks
from frontdoor.config.problem import Path, once, show_key
from frontdoor.config.ready import ReadySettings
from frontdoor.policy.conduct import WINDOW


class HealthSettings(Table):
    """`[health]`: the same check, on the active generation. Off where there is no such table."""

    interval: Annotated[Duration, AfterValidator(finite), AfterValidator(positive('write "5s", for one'))] = 5.0
    failures: int = Field(default=3, ge=1, le=1000)


class SwapSettings(Table):
    """`[swap]`: probation, and what is kept for a rollback."""

    bake: Span = 0.0
    keep_warm: Duration = 900.0
    max_generations: int = Field(default=5, ge=2, le=1000)


class ProbationSettings(Table):
    """`[probation]`: what is too much of a generation that was just switched to, or is a canary."""

    crashes: int = Field(default=1, ge=1, le=1000)
    failures: int = Field(default=5, ge=1, le=WINDOW)
    early: Span = 1.0


class LimitsSettings(Table):
    """`[limits]`. `connections` 0: what RLIMIT_NOFILE allows."""

    connections: int = Field(default=0, ge=0, le=1 << 30)  # the kernel's own end of fs.nr_open
    connect_timeout: Positive = 5.0
    hold_timeout: Duration = 10.0
    idle_timeout: Positive = math.inf
    half_close_timeout: Positive = 60.0


def _check_arguments(arguments: tuple[str, ...]) -> tuple[str, ...]:
    if arguments and not arguments[0]:
        raise ValueError("names no program: the first string is the program to run")
    return arguments


_Arguments = Annotated[tuple[str, ...], AfterValidator(_check_arguments), BeforeValidator(check_shell_line)]


class HooksSettings(Table):
    """`[hooks]`: one argument list for each kind of event; an empty one is no hook.

    They run in the config's folder, and what looks like a placeholder is passed on as it is.
    """

    before_swap: _Arguments = ()
    before_switch: _Arguments = ()
    ready: _Arguments = ()
    switched: _Arguments = ()
    drained: _Arguments = ()
    exited: _Arguments = ()
    failed: _Arguments = ()
    aborted: _Arguments = ()
    timeout: Positive = 30.0


def _check_address(text: str, info: ValidationInfo) -> str:
    return parse_address(text, context_of(info)["folder"])


def _check_listen(listen: tuple[str, ...]) -> tuple[str, ...]:
    if not listen:
        raise ValueError('must not be empty: write at least one address, as ["127.0.0.1:8080"]')
    return once(listen)


class DoorSettings(Table):
    """One door: where it listens, what is behind it."""

    listen: Annotated[tuple[Annotated[str, AfterValidator(_check_address)], ...], AfterValidator(_check_listen)]
    active: str
    protocol: Literal["tcp", "http"] = "tcp"
    accept_proxy: Networks = ()
    http: HttpSettings = HttpSettings()
    backends: dict[str, BackendSettings]
    ready: ReadySettings = ReadySettings()
    health: HealthSettings | None = None
    drain: DrainSettings = DrainSettings()
    swap: SwapSettings = SwapSettings()
    probation: ProbationSettings = ProbationSettings()
    canary: CanarySettings = CanarySettings()
    limits: LimitsSettings = LimitsSettings()
    hooks: HooksSettings = HooksSettings()

    _name: str = PrivateAttr(default="main")
    _place: Path = PrivateAttr(default=())

    def model_post_init(self, context: Any) -> None:
        """Take the door's name and place: they are the table's, and no keys of it."""
        if context is not None:
            self._name, self._place = context["door"], context["place"]

    @property
    def name(self) -> str:
        """The door's name; "main" for the one that the top level describes."""
        return self._name

    @property
    def place(self) -> Path:
        """Where in the config its keys stand: () at the top level, or ("doors", "api")."""
        return self._place

    def key(self, *path: str) -> str:
        """Write the full name of one of this door's keys: "limits.connections", or "doors.api.limits.connections"."""
        return show_key((*self._place, *path))

    def versions(self) -> list[str]:
        """Give the versions that have a table of their own; where "*" says how, any other name will do."""
        return [name for name in self.backends if name != EVERY_VERSION]

    def backend(self, version: str) -> BackendSettings:
        """Give the settings of a version, with what it inherits. Raises UnknownVersion."""
        general = self.backends.get(EVERY_VERSION)
        own = self.backends.get(version) if VERSION.match(version) else None
        if own is not None:
            return own if general is None else own.inherit(general)
        if general is None or not (general.command or general.socket) or not VERSION.match(version):
            raise UnknownVersion(version, self.versions())
        return general
