"""The first thing that runs: so that a Ctrl-C in the tenth of a second of imports ends without a traceback."""

import os
import signal
import sys

INTERRUPTED = 130
"""What a shell reports of a program that SIGINT ended."""


def main() -> None:
    """Run the command line."""
    # Not if whoever started this has it ignored, as a shell does for a background job.
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))  # nothing was asked for yet
    from frontdoor.cli.main import main as run

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(run())
