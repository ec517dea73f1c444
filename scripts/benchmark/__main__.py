"""The bench. Started by `scripts/bench`."""

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from benchmark import report
from benchmark.backends import raw, web
from benchmark.cases import CASES, HTTP_CASES
from benchmark.chart import chart
from benchmark.figure import FULL, QUICK, SMOKE, Case, Figure, Scale
from benchmark.files import allow_many
from benchmark.machine import machine
from benchmark.peers import Peer, Place
from benchmark.peers.caddy import Caddy
from benchmark.peers.direct import Direct
from benchmark.peers.envoy import Envoy
from benchmark.peers.frontdoor import Frontdoor
from benchmark.peers.haproxy import HAProxy
from benchmark.peers.nginx import Nginx
from benchmark.process import StartError
from benchmark.rounds import Sample, measure
from benchmark.target import Target

PEERS: tuple[Peer, ...] = (Frontdoor(), HAProxy(), Nginx(), Envoy(), Direct())
# What is compared most closely has its turns side by side.
HTTP_PEERS: tuple[Peer, ...] = (
    Frontdoor("http"),
    Frontdoor("tcp", "tcp-door"),
    HAProxy("http"),
    Nginx("http"),
    Envoy("http"),
    Caddy(),
    Direct(),
)

Named = TypeVar("Named", Case, Peer)


def main() -> int:
    """The exit code: 0 when all was measured, whatever came of it."""
    asked = arguments()
    if asked.list:
        print("\n".join(listed(asked.cases)))  # in one piece: `| head` must not be a traceback
        return 0
    peers = installed(asked.peers)
    if not can_load():
        return 2
    allow_many()
    try:
        samples = run(asked.cases, peers, asked.scale)
    except StartError as error:
        say(f"FAILED: {error}")
        return 1
    tell(asked, peers, [figure for case in asked.cases for figure in case.figures], samples)
    return 1 if any(sample.error for sample in samples) else 0


def arguments() -> argparse.Namespace:
    """What was asked for; `scale`, `cases` and `peers` are made of it."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure frontdoor beside HAProxy, nginx, Envoy and Caddy: the same load on each, in turns.",
    )
    parser.add_argument("--http", action="store_true", help="HTTP doors and what proxies HTTP, instead of TCP's")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--quick", dest="scale", action="store_const", const=QUICK, help="in under two minutes: a look")
    how.add_argument("--smoke", dest="scale", action="store_const", const=SMOKE, help="only whether it works at all")
    parser.add_argument("--rounds", type=positive, metavar="N", help=f"turns of each case ({FULL.rounds})")
    parser.add_argument("--only", action="append", metavar="CASE", help="only that case; repeatable (see --list)")
    parser.add_argument("--peers", metavar="A,B", help="beside which (all)")
    parser.add_argument("--out", default="bench-results", metavar="FOLDER", help="for the results (./bench-results)")
    parser.add_argument("--list", action="store_true", help="show the cases, and measure nothing")
    parser.set_defaults(scale=FULL)
    asked = parser.parse_args()
    cases, peers = (HTTP_CASES, HTTP_PEERS) if asked.http else (CASES, PEERS)
    try:
        asked.cases = chosen("case", cases, asked.only)
        asked.peers = chosen("peer", peers, None if asked.peers is None else ["frontdoor", *asked.peers.split(",")])
    except ValueError as error:
        parser.error(str(error))
    if asked.rounds:
        asked.scale = dataclasses.replace(asked.scale, rounds=asked.rounds)
    return asked


def positive(text: str) -> int:
    """A number of rounds."""
    if (value := int(text)) < 1:
        raise ValueError
    return value


def chosen(kind: str, those: Sequence[Named], names: Sequence[str] | None) -> list[Named]:
    """Those with the names, in their own order; None: all. Raises ValueError when there is no such one."""
    if unknown := set(filter(None, names or [])) - {one.name for one in those}:
        known = ", ".join(one.name for one in those)
        raise ValueError(f"no such {kind}: {', '.join(sorted(unknown))} (of {known})")
    return [one for one in those if names is None or one.name in names]


def listed(cases: Sequence[Case]) -> Iterator[str]:
    """The cases, and what each of them measures."""
    for case in cases:
        yield f"{case.name}{' (frontdoor alone)' if case.own else ''}"
        for figure in case.figures:
            yield f"    {figure.title}, {figure.unit}"


def installed(peers: Sequence[Peer]) -> list[Peer]:
    """Those that can run here. Of the others it is said how they could."""
    for peer in peers:
        if peer.missing():
            say(f"without {peer.name}: {peer.missing()}")
    return [peer for peer in peers if not peer.missing()]


def can_load() -> bool:
    """Whether there is what no case can do without. If not, it is said what to install."""
    wanted = [web.missing(), "" if shutil.which("wrk") else "apt-get install wrk"]
    for command in filter(None, wanted):
        say(f"cannot measure anything: {command}")
    return not any(wanted)


def run(cases: Sequence[Case], peers: Sequence[Peer], scale: Scale) -> list[Sample]:
    """Start everything, measure, stop everything. Raises StartError."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        backends = stack.enter_context(web.serving(folder)), stack.enter_context(raw.serving(folder))

        def anew(name: str, only_raw: bool) -> AbstractContextManager[Target]:
            (peer,) = [peer for peer in peers if peer.name == name]
            return peer.serving(Place(tempfile.mkdtemp(dir=folder), *backends, only_raw=only_raw))

        targets = [stack.enter_context(anew(peer.name, False)) for peer in peers]
        return measure(cases, targets, anew, scale, say)


def tell(asked: argparse.Namespace, peers: Sequence[Peer], figures: Sequence[Figure], samples: list[Sample]) -> None:
    """Print the table, and write the files."""
    lines, names, known = report.lines(figures, samples), [peer.name for peer in peers], machine(peers)
    rounds = f"Medians of {asked.scale.rounds} rounds" if asked.scale.rounds > 1 else "One round"
    words = "; ".join(f"{key}: {value}" for key, value in known.items())
    text = f"{report.table(lines, names)}\n{report.summary(lines)}.\n\n{rounds}. {words}.\n"
    data = report.data(known, asked.scale, lines, samples)
    files = {
        "results.json": json.dumps(data, indent=1, ensure_ascii=False) + "\n",
        "table.md": text,
        "chart.svg": chart(lines, names),
    }
    os.makedirs(asked.out, exist_ok=True)
    for name, content in files.items():
        with open(os.path.join(asked.out, name), "w", encoding="utf-8") as file:
            file.write(content)
    print(text, end="")
    say(f"written to {asked.out}: {', '.join(files)}")


def say(text: str) -> None:
    """Tell how far it is, beside the results."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
