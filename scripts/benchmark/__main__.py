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

from benchmark import report
from benchmark.backends import raw, web
from benchmark.cases import CASES
from benchmark.chart import chart
from benchmark.figure import FULL, QUICK, SMOKE, Case, Figure, Scale
from benchmark.files import allow_many
from benchmark.machine import machine
from benchmark.peers import Peer, Place
from benchmark.peers.direct import Direct
from benchmark.peers.envoy import Envoy
from benchmark.peers.frontdoor import Frontdoor
from benchmark.peers.haproxy import HAProxy
from benchmark.peers.nginx import Nginx
from benchmark.process import StartError
from benchmark.rounds import Sample, measure
from benchmark.target import Target

PEERS: tuple[Peer, ...] = (Frontdoor(), HAProxy(), Nginx(), Envoy(), Direct())


def main() -> int:
    """The exit code: 0 when all was measured, whatever came of it."""
    asked = arguments()
    if asked.list:
        print("\n".join(listed()))  # in one piece: `| head` must not be a traceback
        return 0
    peers = installed([peer for peer in PEERS if peer.name in ("frontdoor", *asked.peers)])
    if not can_load():
        return 2
    cases = [case for case in CASES if not asked.only or case.name in asked.only]
    allow_many()
    try:
        samples = run(cases, peers, asked.scale)
    except StartError as error:
        say(f"FAILED: {error}")
        return 1
    tell(asked, peers, [figure for case in cases for figure in case.figures], samples)
    return 1 if any(sample.error for sample in samples) else 0


def arguments() -> argparse.Namespace:
    """What was asked for; `scale` is made of it."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure frontdoor beside HAProxy, nginx stream and Envoy: the same load on each, in turns.",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--quick", dest="scale", action="store_const", const=QUICK, help="in under two minutes: a look")
    how.add_argument("--smoke", dest="scale", action="store_const", const=SMOKE, help="only whether it works at all")
    parser.add_argument("--rounds", type=positive, metavar="N", help=f"turns of each case ({FULL.rounds})")
    names = [case.name for case in CASES]
    parser.add_argument("--only", action="append", choices=names, metavar="CASE", help="only that case; repeatable")
    others = ",".join(peer.name for peer in PEERS if peer.name != "frontdoor")
    parser.add_argument("--peers", type=peer_names, default=others, metavar="A,B", help=f"beside which ({others})")
    parser.add_argument("--out", default="bench-results", metavar="FOLDER", help="for the results (./bench-results)")
    parser.add_argument("--list", action="store_true", help="show the cases, and measure nothing")
    parser.set_defaults(scale=FULL)
    asked = parser.parse_args()
    if asked.rounds:
        asked.scale = dataclasses.replace(asked.scale, rounds=asked.rounds)
    return asked


def positive(text: str) -> int:
    """A number of rounds."""
    if (value := int(text)) < 1:
        raise ValueError
    return value


def peer_names(text: str) -> list[str]:
    """Names of peers, with commas between."""
    names = [name for name in text.split(",") if name]
    if unknown := set(names) - {peer.name for peer in PEERS}:
        raise argparse.ArgumentTypeError(f"no such peer: {', '.join(sorted(unknown))}")
    return names


def listed() -> Iterator[str]:
    """The cases, and what each of them measures."""
    for case in CASES:
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
