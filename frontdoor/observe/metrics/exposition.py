"""Exposition: metrics as text, in the format that whoever scrapes asks for.

It is made piece by piece: while one is made no client's bytes are moved.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

PIECE = 25
"""Samples that are made text in one go: a quarter of a millisecond, in the OpenMetrics format half of one."""

OPENMETRICS = "application/openmetrics-text"

_END = b"# EOF\n"
"""What a scrape in that format ends with, and nothing else may come behind it."""

_SUMS = ("_gcount", "_gsum")

Encode = Callable[[Collector], bytes]


class _Only(Collector):
    """A registry with one family."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return [self._family]


async def expose(
    families: Iterable[Metric], accept: str, let_others_run: Callable[[], Awaitable[object]]
) -> tuple[bytes, str]:
    """All of them as text, and its content type. ``accept``: the header of that name, as it came."""
    encode, content_type = _choose(accept)
    plain = not content_type.startswith(OPENMETRICS)
    text = bytearray()
    for family in families:
        for piece in _pieces(family, encode, plain=plain):
            text += piece
            await let_others_run()
    return bytes(text if plain else text + _END), content_type


def _choose(accept: str) -> tuple[Encode, str]:
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is none
        return choose_encoder("")


def _pieces(family: Metric, encode: Encode, *, plain: bool) -> Iterator[bytes]:
    """One family, a few samples at a time. Each piece is made with the family's head, and only the first one keeps it.

    The plain format has no gauge histograms: there the library puts their sums at the end, under heads of their own. So
    these stay together, in the last piece.
    """
    samples, sums = family.samples, list[Sample]()
    if plain and family.type == "gaugehistogram":
        sums = [sample for sample in samples if sample.name.endswith(_SUMS)]
        samples = [sample for sample in samples if not sample.name.endswith(_SUMS)]
    family.samples = []
    head = _text(family, encode)
    yield head
    for some in (*(samples[first : first + PIECE] for first in range(0, len(samples), PIECE)), sums):
        if some:
            family.samples = some
            yield _text(family, encode).removeprefix(head)


def _text(family: Metric, encode: Encode) -> bytes:
    return encode(_Only(family)).removesuffix(_END)
