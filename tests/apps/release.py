"""A release for tests of `frontdoor swap`: a good one, or one with a single thing wrong: the argument says what.

What is good of it is scripts/load/quick.py, which the clients of a load understand. Where it is asked to, it says
READY=1.
"""

import contextlib
import os
import runpy
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOCKET = os.environ["FRONTDOOR_SOCKET"]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

Answer = Callable[[socket.socket], None]


def say(text: str) -> None:
    print(text, flush=True)


# -- what goes well ----------------------------------------------------------------------------------------------------


def good() -> NoReturn:
    server = runpy.run_path(os.path.join(ROOT, "scripts", "load", "quick.py"))["Server"](SOCKET)

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        if server.open:
            say(f"stop signal with {server.open} streams open")
        os._exit(0)

    if signal.getsignal(signal.SIGTERM) != signal.SIG_IGN:
        signal.signal(signal.SIGTERM, on_sigterm)
    notify()
    server.run()
    raise AssertionError("it serves for ever")


def notify() -> None:
    if "NOTIFY_SOCKET" in os.environ:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])


def listen() -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(SOCKET)
    listener.listen()
    return listener


def wait_for(path: str) -> None:
    while not os.path.exists(path):
        time.sleep(0.005)


def sleep() -> NoReturn:
    while True:
        signal.pause()


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def exits_0() -> None:
    say("nothing to do")


def exits_1() -> NoReturn:
    raise SystemExit("no module named 'app'")


def is_killed() -> NoReturn:
    say("eating memory")
    os.abort()


def half_exits() -> NoReturn:
    if os.environ["FRONTDOOR_PROCESS"] == "1":
        sys.exit(9)
    good()


def forks_away() -> NoReturn:
    parent = os.getpid()
    if os.fork():
        os._exit(0)
    while os.getppid() == parent:
        time.sleep(0.001)
    good()


def never_binds() -> NoReturn:
    say("connecting to the database")
    sleep()


def never_binds_nor_stops() -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    never_binds()


def never_notifies() -> NoReturn:
    del os.environ["NOTIFY_SOCKET"]
    good()


def never_accepts() -> NoReturn:
    with listen():
        say("warming up")
        sleep()


def answers(answer: Answer) -> NoReturn:
    listener = listen()
    while True:
        sock, _ = listener.accept()
        with sock:
            sock.recv(65_536)
            with contextlib.suppress(BrokenPipeError):  # on a busy machine whoever asked may wait no longer
                answer(sock)


def never_answers() -> NoReturn:
    answers(lambda sock: sleep())


def answers_500() -> NoReturn:
    def answer(sock: socket.socket) -> None:
        say("no such table: users")
        sock.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    answers(answer)


def answers_slowly() -> NoReturn:
    def answer(sock: socket.socket) -> None:
        time.sleep(0.5)
        try:
            sock.sendall(OK)
        except BrokenPipeError:
            say("nobody waits for the answer any more")

    answers(answer)


def dies_when_ready() -> NoReturn:
    wait_for("go")
    listener = listen()
    notify()
    if "NOTIFY_SOCKET" not in os.environ:
        sock, _ = listener.accept()
        if sock.recv(65_536):  # a check of "connect" says nothing
            sock.sendall(OK)
    say("the licence has expired")
    os._exit(7)


def ignores_the_stop() -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    good()


if __name__ == "__main__":
    globals()[sys.argv[1].replace("-", "_")]()
