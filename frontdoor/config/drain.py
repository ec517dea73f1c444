"""The drain of a generation that new streams do not go to any more, and what it is told of it."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from frontdoor.config.backends import Table
from frontdoor.config.durations import Duration, Limited, Span
from frontdoor.config.problem import FaultError, show_value
from frontdoor.config.ready import request_path
from frontdoor.config.units import parse_signal, show_duration

_NOTIFY_FORMS = 'write a signal ("SIGUSR1"), a request ("http:/drain"), or "" for neither'
_NEVER_SEEN = (signal.SIGKILL, signal.SIGSTOP)  # signal(7): no process can catch them


@dataclass(frozen=True, slots=True)
class DrainNotify:
    """How a generation is told that it drains. `text` is the signal's name or the request's path."""

    kind: Literal["off", "signal", "http"]
    text: str = ""

    def __bool__(self) -> bool:
        return self.kind != "off"

    def __str__(self) -> str:
        return f"http:{self.text}" if self.kind == "http" else self.text

    @property
    def signal(self) -> int:
        """The signal's number; 0 where it is told otherwise, or not."""
        return int(signal.Signals[self.text]) if self.kind == "signal" else 0


def _parse_notify(value: object) -> DrainNotify:
    if not isinstance(value, str):
        raise ValueError(f"{show_value(value)} tells nobody: {_NOTIFY_FORMS}")
    if not value:
        return DrainNotify("off")
    if value.startswith("http:"):
        return DrainNotify("http", request_path(value, "/drain"))
    if "/" in value or ":" in value:
        raise ValueError(f"{show_value(value)} is neither a signal nor a request: {_NOTIFY_FORMS}")
    number = parse_signal(value)
    if number in _NEVER_SEEN:
        raise ValueError(f"{show_value(value)} cannot be caught: it would end or stop the process, and not tell it")
    return DrainNotify("signal", signal.Signals(number).name)


class DrainSettings(Table):
    """`[drain]`: how long old streams may live, and how those are closed that are left then.

    `close_rate` is a number a second, 0: no limit. `close_grace` is the time from FIN to RST.
    """

    timeout: Duration = 3600.0
    shutdown_timeout: Duration = 30.0
    close_over: Span = 600.0
    close_rate: int = Field(default=0, ge=0, le=1_000_000)
    close_first: Literal["oldest", "idle"] = "oldest"
    close_grace: Span = 5.0
    notify: Annotated[DrainNotify, BeforeValidator(_parse_notify)] = DrainNotify("off")
    notify_timeout: Limited = 5.0

    @model_validator(mode="after")
    def _fit(self) -> DrainSettings:
        if "close_over" not in self.model_fields_set:
            # Who sets a short timeout alone wants streams to live that long: the same share of it as by default.
            # object.__setattr__, because nothing else may write to frozen settings.
            object.__setattr__(self, "close_over", min(self.close_over, self.timeout / 6))
        elif self.close_over > self.timeout:
            over, timeout = show_duration(self.close_over), show_duration(self.timeout)
            raise FaultError(
                [(("close_over",), f"{over} is longer than the drain's timeout ({timeout}), of which it is a part")]
            )
        return self
