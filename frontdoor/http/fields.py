"""Field lines: the part of a head that is names and values (RFC 9112 §5), read by llhttp in its strict mode."""

import re
from collections.abc import Callable, Iterable

import httptools

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
"""A name, as a regular expression (RFC 9110 §5.6.2)."""

Fields = list[tuple[bytes, bytes]]
"""Names as they came, values without the white space around them."""

MOST = 256
"""Field lines in one head. A browser sends some twenty."""

_START = b"GET / HTTP/1.1\r\n"
"""Read in front of the lines: llhttp knows nothing but whole heads. Start lines are read by ourselves, for it takes
spaces too many, and no method that it does not know."""


class BadHead(Exception):  # noqa: N818 - it says what it is
    """A head that is not passed on."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        """What a client is told: 400, 414, 431, 501 or 505; of an answer it is 502."""
        self.why = why


class _Lines(Fields):
    """What llhttp calls, with each field."""

    __slots__ = ()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.append((name, value))


def read_fields(lines: bytes) -> Fields:
    """The fields in ``lines``, which end with an empty one. Raises BadHead."""
    fields = _Lines()
    try:
        httptools.HttpRequestParser(fields).feed_data(_START + lines)
    except httptools.HttpParserUpgrade:
        pass  # it would stop here, for what follows may not be HTTP; nothing follows
    except httptools.HttpParserError as error:
        raise BadHead(400, _in_words(error)) from None
    if len(fields) > MOST:
        raise BadHead(431, f"{len(fields)} fields, and {MOST} are the most")
    if b" \r\n" in lines or b"\t\r\n" in lines:  # llhttp leaves what is behind a value
        return [(name, value.rstrip(b" \t")) for name, value in fields]
    return fields


def as_lines(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The fields as they are sent."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])


def remover(first: bytes, names: bytes) -> Callable[[bytes, bytes], bytes]:
    """What takes fields out of a head: ``remove(b"", head)``. That must have been parsed, so that each line is a field.

    ``names``: as a regular expression, in lower case. ``first``: the letters that they begin with: one look at that of
    a line saves most of the looking.
    """
    return re.compile(rb"\r\n(?=[%b])(?:%b):[^\r\n]*" % (first, names), re.IGNORECASE).sub


def options(value: bytes) -> list[bytes]:
    """The items of a list of names, such as Connection's, in lower case (RFC 9110 §5.6.1)."""
    return [item for part in value.split(b",") if (item := part.strip(b" \t").lower())]


def _in_words(error: Exception) -> str:
    said = str(error.args[0]) if error.args else type(error).__name__
    return said[:1].lower() + said[1:]
