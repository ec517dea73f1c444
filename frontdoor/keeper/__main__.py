"""``frontdoor serve`` becomes this program: its pid is the keeper's, for good."""

import os
import sys

from frontdoor.keeper import journal, renewal
from frontdoor.keeper.keeper import Keeper
from frontdoor.keeper.permits import Permits, Unsafe
from frontdoor.keeper.stderr import say


def main() -> None:
    """Run until all is done, then leave without a clean-up that could hang: the kernel closes what is open."""
    word, config = sys.argv[1], sys.argv[-1]
    if word == renewal.TRIAL:
        sys.exit(renewal.tried(int(sys.argv[2]), lambda document: Keeper.recall(config, document).remember()))
    if word == renewal.RESUME:
        document = renewal.read(int(sys.argv[2]))
        renewal.hold(document)
        keeper = Keeper.recall(config, document)
    else:
        _fill_standard_descriptors()
        try:
            permits = Permits.read(config)
        except Unsafe as error:
            say(str(error), journal.ERROR)
            os._exit(error.exit_code)
        keeper = Keeper(config, permits)
    code = keeper.run()
    sys.stderr.flush()
    os._exit(code)


def _fill_standard_descriptors() -> None:
    """Started with ``<&-`` or ``2>&-``, the next thing that is opened would be what a child is given as its stdin."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


if __name__ == "__main__":
    main()
