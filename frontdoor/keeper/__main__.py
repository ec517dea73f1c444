"""``frontdoor serve`` becomes this program: its pid is the keeper's, for good."""

import os
import sys

from frontdoor.keeper.keeper import Keeper


def main() -> None:
    """Run until all is done, then leave without a clean-up that could hang: the kernel closes what is open."""
    _fill_standard_descriptors()
    code = Keeper(sys.argv[1]).run()
    sys.stderr.flush()
    os._exit(code)


def _fill_standard_descriptors() -> None:
    """Started with ``<&-`` or ``2>&-``, the next thing that is opened would be what a child is given as its stdin."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


if __name__ == "__main__":
    main()
