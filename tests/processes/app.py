"""A backend that does as it is told: ``python -IS app.py SOCKET ACT …``, one act after the other."""

import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

listener = socket.socket(socket.AF_UNIX)


def listen(_: str) -> None:
    listener.bind(sys.argv[1])
    listener.listen()


def serve(answer: str) -> None:
    """Answer every request so, until a signal comes."""
    while True:
        client, _ = listener.accept()
        with suppress(BrokenPipeError), client:
            if client.recv(4096):
                client.sendall(unescaped(answer))


def repeat(answer: str) -> None:
    """The same, and print each request."""
    while True:
        client, _ = listener.accept()
        with suppress(BrokenPipeError), client:
            if request := client.recv(65536):
                say(request.decode())
                client.sendall(unescaped(answer))


def take(_: str) -> None:
    """Listen on the socket that was passed (sd_listen_fds(3))."""
    global listener
    assert (os.environ["LISTEN_FDS"], int(os.environ["LISTEN_PID"])) == ("1", os.getpid())
    listener = socket.socket(fileno=3)


def page(path: str) -> None:
    """Answer every request with what is in the file then."""
    while True:
        client, _ = listener.accept()
        with suppress(BrokenPipeError), client, open(path) as file:
            if client.recv(4096):
                client.sendall(unescaped(file.read()))


def say(text: str) -> None:
    print(text, flush=True)


def flood(lines: str) -> None:
    say("\n".join(f"line {number}" for number in range(int(lines))))


def env(name: str) -> None:
    say(str(os.environ.get(name)))


def deaf(_: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def polite(name: str) -> None:
    """End at that signal with a word of its own."""

    def leave(number: int, frame: object) -> None:
        say(f"bye at {number}")
        os._exit(0)

    signal.signal(signal.Signals[name], leave)


def hear(name: str) -> None:
    """Say when that signal comes, and go on: the next ``wait`` is for another one."""
    signal.signal(signal.Signals[name], lambda number, frame: say(f"heard {number}"))


def helper(_: str) -> None:
    """Fork a child that stays in the same group."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
    say(str(pid))


def read(fifo: str) -> None:
    """Wait until the test has written a line."""
    with open(fifo) as lines:
        lines.readline()


def notify(message: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(unescaped(message), os.environ["NOTIFY_SOCKET"])


def leave(code: str) -> None:
    os._exit(int(code))


def die(_: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait(_: str) -> None:
    signal.pause()


def unescaped(text: str) -> bytes:
    return text.encode().decode("unicode_escape").encode()


ACTS: dict[str, Callable[[str], None]] = {
    act.__name__: act
    for act in (listen, take, serve, repeat, page, say, flood, env, deaf, polite, hear, helper, read, notify, die, wait)
} | {"exit": leave}

if __name__ == "__main__":
    for act in sys.argv[2:]:
        name, _, word = act.partition(":")
        ACTS[name](word)
