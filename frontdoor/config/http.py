"""What holds for the requests of an http door."""

from __future__ import annotations

import math
import os
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from frontdoor.config.backends import Table, context_of
from frontdoor.config.durations import Duration, Positive
from frontdoor.config.networks import Networks
from frontdoor.config.problem import show_value
from frontdoor.config.sizes import between, parse_limit, parse_size

LOG_TO_STDERR = "-"
"""As `access_log`: with the other logs."""

_LEAST_CODE, _MOST_CODE = 1000, 4999
# RFC 6455, 7.4.1: reserved for endpoints to say these among themselves, and never in a frame.
_NEVER_SENT = (1004, 1005, 1006, 1015)


def _check_code(code: int) -> int:
    if code == 0:
        return code
    if not _LEAST_CODE <= code <= _MOST_CODE:
        raise ValueError(
            f"{show_value(code)} is no code that a WebSocket is closed with: write 1012 (the service restarts), "
            f"another one from {_LEAST_CODE} to {_MOST_CODE}, or 0 for a plain end of the connection"
        )
    if code in _NEVER_SENT:
        raise ValueError(
            f"{code} is a code that no WebSocket is ever closed with (RFC 6455, 7.4.1): write 1012, for one"
        )
    return code


def _beside(path: str, info: ValidationInfo) -> str:
    return os.path.normpath(os.path.join(context_of(info)["folder"], path)) if path else path


def _log_path(path: str, info: ValidationInfo) -> str:
    if path.endswith("/"):
        raise ValueError(f'{show_value(path)} is a folder: write the path of a file, or "-" for stderr')
    return path if path == LOG_TO_STDERR else _beside(path, info)


class HttpSettings(Table):
    """`[http]`: for doors with `protocol = "http"` only. Times in seconds, sizes in bytes, infinity for "never"."""

    trust: Networks = ()
    head_timeout: Positive = 10.0
    body_timeout: Positive = 60.0
    answer_timeout: Positive = 60.0
    keepalive_timeout: Positive = 75.0
    backend_keepalive: Duration = 30.0
    max_head: Annotated[int, BeforeValidator(parse_size), AfterValidator(between(1 << 10, 1 << 20))] = 32 << 10
    max_body: Annotated[float, BeforeValidator(parse_limit)] = math.inf
    error_pages: Annotated[str, AfterValidator(_beside)] = ""
    websocket_close: Annotated[int, AfterValidator(_check_code)] = 0
    access_log: Annotated[str, AfterValidator(_log_path)] = ""
