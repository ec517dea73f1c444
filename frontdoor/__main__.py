"""``python -m frontdoor``: the same as the command ``frontdoor``."""

from frontdoor.cli.start import main

main()
