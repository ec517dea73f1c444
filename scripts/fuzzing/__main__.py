"""The command line of scripts/fuzz: one target after the other, and a last line with what came of it."""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import deque
from dataclasses import dataclass, field
from importlib import import_module
from typing import IO

from fuzzing import TARGETS
from fuzzing.findings import Check, again, attempt
from fuzzing.seeds import ROOT, seeds

PULSE = 60
"""Seconds between two lines that say how it goes."""

_PROGRESS = re.compile(r"#(\d+)\s+\S+\s+cov: (\d+) ft: (\d+) corp: (\d+)")
_EXECUTED = re.compile(r"stat::number_of_executed_units:\s*(\d+)")


@dataclass
class Outcome:
    """Of a target."""

    executions: int = 0
    features: int = 0
    inputs: int = 0
    """That reach something that no other reaches."""
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        count = len(self.findings)
        return (
            f"{self.executions:,} executions in {self.seconds:.0f} s, {self.features:,} features, "
            f"{self.inputs:,} inputs kept, {count or 'no'} finding{'s' * (count != 1)}"
        )


def fuzz(target: str, options: argparse.Namespace, corpus: str, seconds: float) -> Outcome:
    """Let libFuzzer run for so long."""
    outcome, began = Outcome(), time.monotonic()
    os.makedirs(options.findings, exist_ok=True)
    os.makedirs(corpus, exist_ok=True)
    for number, data in enumerate(seeds(target)):
        with open(os.path.join(corpus, f"seed-{number:03}"), "wb") as file:
            file.write(data)
    limits = [f"-runs={options.runs}"] if options.runs else [f"-max_total_time={max(1, round(seconds))}"]
    own = ["-print_final_stats=1", f"-seed={options.seed}", *limits, corpus]
    child = subprocess.Popen(
        [sys.executable, "-m", "fuzzing.campaign", target, options.findings, *own],
        env=os.environ | {"PYTHONHASHSEED": "0"},  # the order of a set, too, comes from the seed
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    with child:
        assert child.stdout is not None
        assert child.stderr is not None
        try:
            words = listen(target, child.stderr, outcome, began)
        except KeyboardInterrupt:
            child.terminate()
            raise
        outcome.findings = child.stdout.read().split()
    outcome.seconds = time.monotonic() - began
    if child.returncode:
        outcome.findings.append(f"{target}: it ended with {child.returncode}: {' | '.join(words)}")
    return outcome


def listen(target: str, lines: IO[str], outcome: Outcome, began: float) -> deque[str]:
    """Follow what libFuzzer says until its end; its last words."""
    words: deque[str] = deque(maxlen=8)
    said = began
    for line in lines:
        words.append(line.strip())
        if found := _PROGRESS.match(line):
            outcome.executions, _, outcome.features, outcome.inputs = map(int, found.groups())
            outcome.seconds = time.monotonic() - began
            if time.monotonic() > said + PULSE:
                said = time.monotonic()
                say(f"{target}: {outcome.executions:,} executions, {outcome.features:,} features")
        elif found := _EXECUTED.match(line):
            outcome.executions = int(found[1])
    return words


def try_one(target: str, path: str) -> bool:
    """One input; whether all holds for it."""
    check: Check = import_module(f"fuzzing.{TARGETS[target]}").check
    with open(path, "rb") as file:
        data = file.read()
    error = attempt(check, data)
    print(repr(data))
    if error is None:
        print("nothing is wrong with it")
    else:
        traceback.print_exception(error)
    return error is None


def say(line: str) -> None:
    """One line of the story, at once."""
    print(f"fuzz: {line}", flush=True)


def run(options: argparse.Namespace) -> bool:
    """Each of the targets; whether nothing was found."""
    targets = list(TARGETS) if options.target == "all" else [options.target]
    total = Outcome()
    say(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="frontdoor-fuzz-") as folder:
        try:
            for target in targets:
                corpus = os.path.join(options.corpus or folder, target)
                outcome = fuzz(target, options, corpus, options.minutes * 60 / len(targets))
                say(f"{target}: {outcome}")
                for path in outcome.findings:
                    say(f"FOUND {path}: {again(target, path)}" if os.path.exists(path) else f"FOUND {path}")
                total.executions += outcome.executions
                total.features += outcome.features
                total.inputs += outcome.inputs
                total.seconds += outcome.seconds
                total.findings += outcome.findings
        except KeyboardInterrupt:
            say("interrupted")
            return False
        finally:
            say(f"in all: {total}")
    return not total.findings


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Fuzzes frontdoor/http; 0: nothing was found.")
    parser.add_argument("--minutes", type=float, default=10, help="for all targets together (default: 10)")
    parser.add_argument("--runs", type=int, default=0, help="for each target, instead of minutes: always the same ones")
    parser.add_argument("--target", choices=[*TARGETS, "all"], default="all", help="(default: all)")
    parser.add_argument("--seed", type=int, default=None, help="of what is tried in which order (default: a new one)")
    parser.add_argument(
        "--corpus", metavar="FOLDER", default="", help="goes on with its inputs, and keeps new ones there"
    )
    parser.add_argument(
        "--findings", metavar="FOLDER", default=os.path.join(ROOT, "build", "fuzz"), help="(default: build/fuzz)"
    )
    parser.add_argument("--file", metavar="INPUT", help="try this one, and nothing else; needs a --target")
    options = parser.parse_args()
    if options.file and options.target == "all":
        parser.error("--file: of which --target?")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the last line is said, and no child left
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1, 1 << 31)  # libFuzzer takes 0 for none
    good = try_one(options.target, options.file) if options.file else run(options)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
