"""The settings of a door, and of the whole process. Durations are float seconds, "never" is `math.inf`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from frontdoor.config.addresses import check_runtime_dir, parse_address
from frontdoor.config.backends import (
    EVERY_VERSION,
    VERSION,
    BackendSettings,
    Duration,
    Table,
    UnknownVersion,
)
from frontdoor.config.problem import FaultError, Path, show_value
from frontdoor.config.runtime import beside, runtime_dir_shown, systemd_folder
from frontdoor.config.units import show_duration


def _positive(instead: str) -> Callable[[float], float]:
    def check(seconds: float) -> float:
        if seconds <= 0:
            raise ValueError(f"must be longer than 0; {instead}")
        return seconds

    return check


def _finite(seconds: float) -> float:
    if math.isinf(seconds):
        raise ValueError('cannot be "never"')
    return seconds


Positive = Annotated[Duration, AfterValidator(_positive('write "never" for no limit'))]

_CHECK_FORMS = 'write "connect", "http:/path" or "notify"'
_REQUEST_TARGET = re.compile(r"/[!-~]*\Z")  # visible ASCII: RFC 3986 has the rest percent-encoded


@dataclass(frozen=True, slots=True)
class ReadyCheck:
    """How a generation is asked whether it is ready. `path` is the request's, for kind "http"; else empty."""

    kind: Literal["connect", "http", "notify"]
    path: str = ""

    def __str__(self) -> str:
        return f"http:{self.path}" if self.kind == "http" else self.kind


def _parse_check(value: object) -> ReadyCheck:
    if value == "connect" or value == "notify":
        return ReadyCheck("connect" if value == "connect" else "notify")
    if not isinstance(value, str) or not value.startswith("http:"):
        raise ValueError(f"{show_value(value)} is not a check: {_CHECK_FORMS}")
    path = value.removeprefix("http:")
    if path.startswith("//"):
        raise ValueError(f'{show_value(value)}: write the path only, as "http:/healthz": the backend is known')
    if not path.startswith("/"):
        raise ValueError(f'{show_value(value)}: the path must begin with "/", as in "http:/healthz"')
    if not _REQUEST_TARGET.match(path):
        raise ValueError(f"{show_value(value)}: the path must have no spaces and only visible ASCII characters")
    return ReadyCheck("http", path)


class ReadySettings(Table):
    """`[ready]`: what must hold before a new generation gets a stream."""

    check: Annotated[ReadyCheck, BeforeValidator(_parse_check)] = ReadyCheck("connect")
    interval: Annotated[Duration, AfterValidator(_finite), AfterValidator(_positive('write "250ms", for one'))] = 0.25
    timeout: Positive = 2.0
    successes: int = Field(default=1, ge=1, le=1000)
    deadline: Positive = 30.0


class HealthSettings(Table):
    """`[health]`: the same check, on the active generation."""

    interval: Annotated[Duration, AfterValidator(_finite), AfterValidator(_positive('write "5s", for one'))] = 5.0
    failures: int = Field(default=3, ge=1, le=1000)


class DrainSettings(Table):
    """`[drain]`: how long old streams may live."""

    timeout: Duration = 3600.0
    shutdown_timeout: Duration = 30.0
    close_over: Annotated[Duration, AfterValidator(_finite)] = 600.0

    @model_validator(mode="after")
    def _fit(self) -> DrainSettings:
        if "close_over" not in self.model_fields_set:
            # Who sets a short timeout alone wants streams to live that long: the same share of it as by default.
            # object.__setattr__, because nothing else may write to frozen settings.
            object.__setattr__(self, "close_over", min(self.close_over, self.timeout / 6))
        elif self.close_over > self.timeout:
            over, timeout = show_duration(self.close_over), show_duration(self.timeout)
            raise FaultError(
                [(("close_over",), f"{over} is longer than drain.timeout ({timeout}), of which it is a part")]
            )
        return self


class SwapSettings(Table):
    """`[swap]`: probation, and what is kept for a rollback."""

    bake: Duration = 0.0
    keep_warm: Duration = 900.0
    max_generations: int = Field(default=5, ge=2, le=1000)


class LimitsSettings(Table):
    """`[limits]`. `connections` 0: what RLIMIT_NOFILE allows."""

    connections: int = Field(default=0, ge=0, le=1 << 30)  # the kernel's own end of fs.nr_open
    connect_timeout: Positive = 5.0
    hold_timeout: Duration = 10.0
    idle_timeout: Positive = math.inf
    half_close_timeout: Positive = 60.0


class HooksSettings(Table):
    """`[hooks]`: one argument list for each kind of event."""

    before_swap: tuple[str, ...] = ()
    ready: tuple[str, ...] = ()
    switched: tuple[str, ...] = ()
    drained: tuple[str, ...] = ()
    exited: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    timeout: Positive = 30.0


def _context(info: ValidationInfo) -> Mapping[str, Any]:
    assert info.context is not None, "these settings are made by frontdoor.config.parse, which says where they are from"
    context: Mapping[str, Any] = info.context
    return context


def _check_address(text: str, info: ValidationInfo) -> str:
    return parse_address(text, _context(info)["folder"])


def _check_listen(listen: tuple[str, ...]) -> tuple[str, ...]:
    if not listen:
        raise ValueError('must not be empty: write at least one address, as ["127.0.0.1:8080"]')
    faults: list[tuple[Path, str]] = [
        ((index,), f"{show_value(address)} is there twice")
        for index, address in enumerate(listen)
        if address in listen[:index]
    ]
    if faults:
        raise FaultError(faults)
    return listen


class DoorSettings(Table):
    """One door: where it listens, what is behind it."""

    listen: Annotated[tuple[Annotated[str, AfterValidator(_check_address)], ...], AfterValidator(_check_listen)]
    active: str
    protocol: Literal["tcp", "http"] = "tcp"
    accept_proxy: tuple[str, ...] = ()
    backends: dict[str, BackendSettings]
    ready: ReadySettings = ReadySettings()
    health: HealthSettings = HealthSettings()
    drain: DrainSettings = DrainSettings()
    swap: SwapSettings = SwapSettings()
    limits: LimitsSettings = LimitsSettings()
    hooks: HooksSettings = HooksSettings()

    _name: str = PrivateAttr(default="main")

    def model_post_init(self, context: Any) -> None:
        """Take the door's name: it is the table's, and no key of it."""
        if context is not None:
            self._name = context["door"]

    @property
    def name(self) -> str:
        """The door's name; "main" where the config has only one."""
        return self._name

    def versions(self) -> list[str]:
        """Give the versions that have a table of their own; where "*" has a command, any other name will do."""
        return [name for name in self.backends if name != EVERY_VERSION]

    def backend(self, version: str) -> BackendSettings:
        """Give the settings of a version, with what it inherits. Raises UnknownVersion."""
        general = self.backends.get(EVERY_VERSION)
        own = self.backends.get(version) if VERSION.match(version) else None
        if own is not None:
            return own if general is None else own.inherit(general)
        if general is None or not general.command or not VERSION.match(version):
            raise UnknownVersion(version, self.versions())
        return general


class FrontdoorSettings(Table):
    """`[frontdoor]`: what is of the whole process. Both folders are absolute here."""

    runtime_dir: str = Field(default="", validate_default=True)
    state_dir: str = Field(default="", validate_default=True)
    user: str = ""
    group: str = ""
    admin: str = ""
    log_format: Literal["auto", "console", "json"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    _runtime_dir_shown: str = PrivateAttr(default="")

    @field_validator("runtime_dir")
    @classmethod
    def _resolve_runtime_dir(cls, value: str, info: ValidationInfo) -> str:
        folder = beside(_context(info)["path"], runtime_dir_shown(value or None))
        check_runtime_dir(folder)
        return folder

    @field_validator("state_dir")
    @classmethod
    def _resolve_state_dir(cls, value: str, info: ValidationInfo) -> str:
        shown = value or systemd_folder("STATE_DIRECTORY")
        if shown is None:
            # Missing where runtime_dir itself is wrong: then there are no settings anyway.
            return str(info.data.get("runtime_dir", ""))
        return beside(_context(info)["path"], shown)

    def model_post_init(self, context: Any) -> None:
        """Keep runtime_dir as it was written, for people to read."""
        if context is not None:
            self._runtime_dir_shown = runtime_dir_shown(context["runtime_dir"])

    @property
    def runtime_dir_shown(self) -> str:
        """The runtime_dir as it was written ("run"), for display only."""
        return self._runtime_dir_shown
