"""One target under libFuzzer, in a process of its own: it instruments what it imports, and libFuzzer ends it.

Started by `python -m fuzzing`. Findings do not end it; their paths are lines on standard output.
"""

import os
import sys
from importlib import import_module

import atheris

from fuzzing import TARGETS
from fuzzing.findings import Findings, attempt
from fuzzing.mutation import Mutation

LONGEST = 32 << 10
"""Bytes of an input: a head may have as many."""

HANGS = 30
"""Seconds after which libFuzzer ends an input, and the campaign with it."""


def main() -> None:
    """TARGET FINDINGS, and libFuzzer's own options and folders."""
    target, folder, *options = sys.argv[1:]
    # The reader that it is compared to as well: llhttp and regular expressions have no branches that anybody sees.
    with atheris.instrument_imports(include=["frontdoor.http", "fuzzing.reference"]):
        check = import_module(f"fuzzing.{TARGETS[target]}").check
    findings = Findings(folder, target, lambda path: print(path, flush=True))

    def one(data: bytes) -> None:
        error = attempt(check, data)
        if error is not None:
            findings.keep(data, error)

    # What atheris.Mutate is changes when the fuzz begins.
    mutation = Mutation(target, lambda data, longest: atheris.Mutate(data, longest))
    own = [
        f"-max_len={LONGEST}",
        "-len_control=100",  # short ones first
        f"-timeout={HANGS}",
        "-rss_limit_mb=2048",
        f"-artifact_prefix={os.path.join(folder, target)}-",
    ]
    atheris.Setup([sys.argv[0], *own, *options], one, custom_mutator=mutation)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
