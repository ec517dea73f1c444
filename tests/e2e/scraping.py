"""Scrapes of a frontdoor, as Prometheus makes them, taken apart by the parser of its own library."""

import contextlib
import http.client
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client import parser
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics

from e2e.harness import Frontdoor

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
"""What a Prometheus server says that it takes."""

# The library's parsers, which have no types of their own.
parse_plain: Callable[[str], Iterable[Metric]] = parser.text_string_to_metric_families
parse_openmetrics: Callable[[str], Iterable[Metric]] = openmetrics.text_string_to_metric_families


@dataclass(frozen=True)
class Scraped:
    """One answer."""

    content_type: str
    text: str

    @property
    def families(self) -> list[Metric]:
        """The metrics in it. Raises ValueError when it is no such text."""
        parse = parse_openmetrics if self.content_type.startswith("application/openmetrics-text") else parse_plain
        return list(parse(self.text))

    def values(self, sample: str, **labels: str) -> dict[tuple[str, ...], float]:
        """Of the samples of that name with these labels: the values of all other labels, by their names → its value."""
        return {
            tuple(value for name, value in sorted(each.labels.items()) if name not in labels): each.value
            for family in self.families
            for each in family.samples
            if each.name == sample and labels.items() <= each.labels.items()
        }

    def value(self, sample: str, **labels: str) -> float:
        """Of the only one."""
        (value,) = self.values(sample, **labels).values()
        return value

    def labels(self) -> dict[str, set[str]]:
        """The name of each sample → the names of its labels."""
        found: dict[str, set[str]] = {}
        for family in self.families:
            for each in family.samples:
                found.setdefault(each.name, set()).update(each.labels)
        return found


def scrape(frontdoor: Frontdoor, accept: str = "") -> Scraped:
    """GET /metrics on its control socket."""
    return scrape_at(frontdoor.path("run/control.sock"), accept)


def scrape_at(control: str, accept: str = "") -> Scraped:
    """The same, where only the socket is known."""
    with contextlib.closing(http.client.HTTPConnection("frontdoor")) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(20)
        connection.sock.connect(control)
        connection.request("GET", "/metrics", headers={"Accept": accept})
        answer = connection.getresponse()
        text = answer.read().decode()
        assert answer.status == 200, text
        return Scraped(str(answer.getheader("content-type")), text)
