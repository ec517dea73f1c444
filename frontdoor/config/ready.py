"""The check that a new generation must pass."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from frontdoor.config.backends import Table
from frontdoor.config.durations import Duration, Positive, finite, positive
from frontdoor.config.problem import show_value
from frontdoor.config.units import show_duration

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
    return ReadyCheck("http", request_path(value, "/healthz"))


def request_path(value: str, example: str) -> str:
    """Give the path of "http:/path". Raises ValueError, in the user's words; `example` is one that would do."""
    path = value.removeprefix("http:")
    if path.startswith("//"):
        raise ValueError(f'{show_value(value)}: write the path only, as "http:{example}": the backend is known')
    if not path.startswith("/"):
        raise ValueError(f'{show_value(value)}: the path must begin with "/", as in "http:{example}"')
    if not _REQUEST_TARGET.match(path):
        raise ValueError(f"{show_value(value)}: the path must have no spaces and only visible ASCII characters")
    return path


class ReadySettings(Table):
    """`[ready]`: what must hold before a new generation gets a stream."""

    check: Annotated[ReadyCheck, BeforeValidator(_parse_check)] = ReadyCheck("connect")
    interval: Annotated[Duration, AfterValidator(finite), AfterValidator(positive('write "250ms", for one'))] = 0.25
    timeout: Positive = 2.0
    successes: int = Field(default=1, ge=1, le=1000)
    deadline: Positive = 30.0

    def as_table(self) -> dict[str, object]:
        """Write the table as a config has it: `model_validate` makes the same settings of it."""
        durations = {name: show_duration(getattr(self, name)) for name in ("interval", "timeout", "deadline")}
        return {"check": str(self.check), "successes": self.successes, **durations}
