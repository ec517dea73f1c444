"""The door process: started by the keeper as ``python -P -m frontdoor.door WIRE CONFIG [STDERR]``.

STDERR is there in an upgrade: until the new door process serves, what it says on its stderr is heard by the keeper, as
the reason why it failed; this is the real one.
"""

import gc
import os
import resource
import signal
import socket
import sys
import traceback
from types import FrameType
from typing import TYPE_CHECKING

from frontdoor.door.bytecode import Bytecode
from frontdoor.keeper import stderr

if TYPE_CHECKING:
    from frontdoor.keeper.link import Link


def main() -> None:
    """Serve, and leave without a clean-up that could hang: the kernel closes what is open."""
    number, config, *more = sys.argv[1:]
    errors = int(more[0]) if more else None
    bytecode = Bytecode.inherited(os.environ)
    if errors is None:
        bytecode.find()
    bytecode.install()
    gc.disable()  # until all is loaded (door.remainder): nothing of it is ever garbage, and to look for some takes time
    # After a crash each client waits for these: they load what traffic needs, and no more.
    from frontdoor.door.process import DoorProcess
    from frontdoor.keeper.link import KeeperGone, Link

    gc.freeze()  # what was loaded stays: no collection need look at it again
    link = Link(socket.socket(fileno=int(number)))
    _die_with_the_keeper(link)
    process = DoorProcess(link, config, resource.getrlimit(resource.RLIMIT_NOFILE)[0], errors, bytecode)
    code = 1
    try:
        code = process.host.run(process.run)
    except* KeeperGone:
        link.kill_groups()
    except* BaseException:
        # Not by letting it through: the interpreter would wait for trio's thread, and the keeper for this process.
        stderr.tell(traceback.format_exc().rstrip())
    sys.stderr.flush()
    os._exit(code)


def _die_with_the_keeper(link: "Link") -> None:
    """The kernel sends SIGTERM when the keeper dies. Backends die of their own; their children would live on."""
    keeper = os.getppid()

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        if os.getppid() != keeper:
            link.kill_groups()
        os._exit(128 + signal.SIGTERM)  # else somebody has ended this process alone: the keeper starts it again

    signal.signal(signal.SIGTERM, on_sigterm)


if __name__ == "__main__":
    main()
