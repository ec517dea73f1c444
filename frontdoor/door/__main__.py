"""The door process: started by the keeper as ``python -P -m frontdoor.door WIRE CONFIG``."""

import codecs
import gc
import os
import resource
import signal
import socket
import sys
import traceback
from types import FrameType

from frontdoor.control import server
from frontdoor.door.process import DoorProcess
from frontdoor.keeper.link import KeeperGone, Link
from frontdoor.traffic.host import Host


def main() -> None:
    """Serve, and leave without a clean-up that could hang: the kernel closes what is open."""
    wire = socket.socket(fileno=int(sys.argv[1]))
    link = Link(wire)
    _die_with_the_keeper(link)
    server.preload()
    codecs.lookup("utf-8-sig")  # of the config file, which after a crash nobody reads before the first swap
    gc.collect()
    gc.freeze()  # what was loaded stays: no collection need look at it again
    process = DoorProcess(link, sys.argv[2], resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    code = 1
    try:
        code = Host(process.relay).run(process.run)
    except* KeeperGone:
        link.kill_groups()
    except* BaseException:
        # Not by letting it through: the interpreter would wait for trio's thread, and the keeper for this process.
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


def _die_with_the_keeper(link: Link) -> None:
    """The kernel sends SIGTERM when the keeper dies. Backends die of their own; their children would live on."""
    keeper = os.getppid()

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        if os.getppid() != keeper:
            link.kill_groups()
        os._exit(128 + signal.SIGTERM)  # else somebody has ended this process alone: the keeper starts it again

    signal.signal(signal.SIGTERM, on_sigterm)


if __name__ == "__main__":
    main()
