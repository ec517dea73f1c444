"""The text that is scraped, in both formats, made in small pieces."""

import pytest
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from e2e.scraping import parse_openmetrics, parse_plain
from frontdoor.observe.metrics.exposition import PIECE, expose
from frontdoor.observe.metrics.families import families
from observe.metrics.seen import generation, seen

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


class Registry(Collector):
    """The library's own way to make the same text, in one go."""

    def collect(self) -> list[Metric]:
        return list(families(seen()))


async def nobody() -> None:
    return None


@pytest.mark.parametrize("accept", ["", OPENMETRICS, "text/plain;version=1.0.0"])
async def test_the_pieces_are_together_what_the_library_makes_in_one_go(accept: str) -> None:
    encode, content_type = choose_encoder(accept)
    assert await expose(families(seen()), accept, nobody) == (encode(Registry()), content_type)


async def test_the_parsers_of_the_library_find_each_family() -> None:
    wanted = {family.name for family in families(seen())}
    text, _ = await expose(families(seen()), "", nobody)
    found = {family.name for family in parse_plain(text.decode())}
    # The older format has no gauge histograms: two of its sums are gauges with a head of their own.
    ages = "frontdoor_stream_age_seconds"
    assert found == wanted | {f"{ages}_gcount", f"{ages}_gsum"}
    text, _ = await expose(families(seen()), OPENMETRICS, nobody)
    assert {family.name for family in parse_openmetrics(text.decode())} == wanted


async def test_others_run_after_each_piece_and_a_piece_is_small() -> None:
    many = seen(generations=[generation(f"v1#{number}", "stopped") for number in range(1, 16)], canary=None)
    pieces = 0

    async def others_run() -> None:
        nonlocal pieces
        pieces += 1

    text, _ = await expose(families(many), "", others_run)
    samples = sum(not line.startswith(b"#") for line in text.splitlines())
    assert samples > 10 * PIECE
    of_dials = sum(line.startswith(b"frontdoor_dial_duration") for line in text.splitlines())
    assert of_dials > 5 * PIECE, "one family alone is many pieces"
    assert pieces >= samples / PIECE


@pytest.mark.parametrize("accept", ["application/openmetrics-text;version=x", "text/plain;version=;;=", ",;,", "\xff"])
async def test_who_asks_for_nonsense_gets_the_plain_format(accept: str) -> None:
    _, content_type = await expose(families(seen()), accept, nobody)
    assert content_type.startswith("text/plain; version=0.0.4")
