"""How visitors of an http door are divided between a canary and the active generation."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator

from frontdoor.config.backends import Table
from frontdoor.config.problem import show_value

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}\Z")  # RFC 9110, 5.6.2: the names of fields and of cookies
_NAME_RULE = "it has letters, digits and any of !#$%&'*+.^_`|~-, and is at most 100 characters long"
_BROWSERS_OWN = ("__secure-", "__host-", "__http-", "__host-http-")

_TAKEN = re.compile(
    r"(connection|content-length|cookie|expect|forwarded|host|keep-alive|proxy-connection|te|trailer|transfer-encoding|"
    r"upgrade|x-forwarded-(for|host|proto)|x-request-id)\Z",
    re.IGNORECASE,
)
"""Fields that mean something else already."""


def _check_cookie(name: str) -> str:
    if not _NAME.match(name):
        raise ValueError(f"{show_value(name)} cannot be the name of a cookie: {_NAME_RULE}")
    if name.lower().startswith(_BROWSERS_OWN):
        # RFC 6265bis, 4.1.3: such a cookie needs the attribute Secure, which it cannot have over plain http.
        raise ValueError(f"{show_value(name)}: browsers keep a cookie of such a name over https alone; choose another")
    return name


def _check_header(name: str) -> str:
    if not _NAME.match(name):
        raise ValueError(f"{show_value(name)} cannot be the name of a header: {_NAME_RULE}")
    if _TAKEN.match(name):
        raise ValueError(f"{show_value(name)} has another meaning already: choose a header of your own, as X-Canary")
    return name


class CanarySettings(Table):
    """`[canary]`: who sees it. `sticky` is for doors with `protocol = "http"` only; "": each request by itself."""

    sticky: Literal["", "cookie", "header"] = ""
    cookie: Annotated[str, AfterValidator(_check_cookie)] = "frontdoor_canary"
    header: Annotated[str, AfterValidator(_check_header)] = "X-Canary"
