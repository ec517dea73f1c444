"""A versioned backend for tests: greets with its generation and pid, then echoes lines. Options make it misbehave.

Standard library only, one thread: it starts in some tens of milliseconds and holds a thousand silent streams.

A line that a client sends is echoed, except: "pid" is answered with the pid, "env NAME" with that variable, "cwd" with
the folder, "who" with the client's address, if a PROXY header said so; "print TEXT" prints it; "exit CODE" ends the
process at once, "close" ends this connection, "count" asks how many are open.
"""

import argparse
import os
import selectors
import signal
import socket
import struct
import sys
import time
from types import FrameType

VERSION, GENERATION = os.environ.get("FRONTDOOR_VERSION", "?"), os.environ.get("FRONTDOOR_GENERATION", "?")


def say(text: str) -> None:
    print(text, flush=True)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", default=os.environ.get("FRONTDOOR_SOCKET"))
    parser.add_argument("--say", action="append", default=[], help="print this line first")
    parser.add_argument("--flood", type=int, default=0, metavar="LINES", help="print so many lines of 200 characters")
    parser.add_argument("--exit", type=int, help="end with that code at once")
    parser.add_argument("--wait-for", metavar="FILE", help="do nothing before that file is there")
    parser.add_argument("--backlog", type=int, default=1024, help="of its socket (listen(2))")
    parser.add_argument("--child", metavar="FILE", help="have a child that only sleeps; its pid is in that file")
    parser.add_argument("--ignore-sigterm", action="store_true")
    parser.add_argument("--notify", action="store_true", help="say READY=1 when --notify-when is there")
    parser.add_argument("--notify-when", metavar="FILE")
    parser.add_argument("--http", metavar="FILE", help="speak HTTP; every answer's status is the content of that file")
    parser.add_argument("--passed", action="store_true", help="listen on descriptor 3 (sd_listen_fds(3))")
    parser.add_argument("--proxy", action="store_true", help="every connection must begin with a PROXY header")
    return parser.parse_args()


def wait_for(path: str) -> None:
    while not os.path.exists(path):
        time.sleep(0.005)


def have_child(path: str) -> None:
    pid = os.fork()
    if pid == 0:
        while True:
            signal.pause()
    with open(path + ".new", "w") as file:
        file.write(str(pid))
    os.rename(path + ".new", path)


def notify() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"STATUS=warming up\nREADY=1", os.environ["NOTIFY_SOCKET"])


def bound(path: str, backlog: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(backlog)
    return listener


def passed() -> socket.socket:
    """The listener that was passed, as sd_listen_fds(3) says."""
    assert (os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"]) == ("1", str(os.getpid()))
    listener = socket.socket(fileno=3)
    assert listener.getsockname() == os.environ["FRONTDOOR_SOCKET"]
    return listener


def read_proxy_header(sock: socket.socket) -> str:
    """Take a PROXY header off the socket; the client's address in it. Raises ValueError when it begins otherwise.

    All of it is there: whoever sends it does so at once, before anything else.
    """
    data = sock.recv(536, socket.MSG_PEEK)
    if not data:
        return "?"  # somebody who only looked whether it listens
    if data.startswith(b"\r\n\r\n\0\r\nQUIT\n"):
        command, family, length = struct.unpack_from("!BBH", data, 12)
        sock.recv(16 + length)
        if command == 0x21 and family in (0x11, 0x21):
            size, kind = (4, socket.AF_INET) if family == 0x11 else (16, socket.AF_INET6)
            (port,) = struct.unpack_from("!H", data, 16 + 2 * size)
            return f"{socket.inet_ntop(kind, data[16 : 16 + size])} {port}"
        return "LOCAL" if command == 0x20 else "UNSPEC"
    line, end, _ = data.partition(b"\r\n")
    words = line.decode(errors="replace").split(" ")
    if not end or words[0] != "PROXY":
        raise ValueError(f"no PROXY header: {data!r}")
    sock.recv(len(line) + 2)
    return f"{words[2]} {words[4]}" if words[1] in ("TCP4", "TCP6") else words[1]


class Server:
    def __init__(self, listener: socket.socket, *, http: str | None, proxy: bool) -> None:
        self._http = http
        self._proxy = proxy
        self._selector = selectors.DefaultSelector()
        self._listener = listener
        self._unfinished: dict[socket.socket, bytes] = {}
        self._clients: dict[socket.socket, str] = {}
        """Their addresses, where a PROXY header said them."""

    def __len__(self) -> int:
        return len(self._unfinished)

    def run(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock is self._listener:
                    self._accept()
                else:
                    self._read(sock)

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        try:
            self._clients[sock] = read_proxy_header(sock) if self._proxy else "?"
        except ValueError as error:
            say(str(error))
            sock.close()
            return
        self._unfinished[sock] = b""
        self._selector.register(sock, selectors.EVENT_READ)
        if self._http is None:
            self._send(sock, f"{VERSION}#{GENERATION} {os.getpid()}")

    def _read(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            self._close(sock)
            return
        *lines, self._unfinished[sock] = (self._unfinished[sock] + data).split(b"\n")
        for line in lines:
            if self._http is not None:
                if line in (b"", b"\r"):
                    self._answer_http(sock)
                    return
            elif not self._answer(sock, line.decode()):
                return

    def _answer(self, sock: socket.socket, line: str) -> bool:
        word, _, rest = line.partition(" ")
        if word == "close":
            self._close(sock)
            return False
        if word == "exit":
            say(f"told to exit with {rest}")
            os._exit(int(rest))
        if word == "print":
            say(rest)
        answers = {"pid": str(os.getpid()), "cwd": os.getcwd(), "count": str(len(self)), "who": self._clients[sock]}
        self._send(sock, os.environ.get(rest, "(unset)") if word == "env" else answers.get(line, line))
        return True

    def _answer_http(self, sock: socket.socket) -> None:
        assert self._http is not None
        with open(self._http) as file:
            status = file.read().strip()
        say(f"answered {status}")
        body = f"{VERSION}#{GENERATION} {os.getpid()} {self._clients[sock]}"
        head = f"HTTP/1.1 {status} x\r\nContent-Length: {len(body) + 1}\r\nConnection: close\r\n\r\n"
        self._send(sock, head + body)
        self._close(sock)

    def _send(self, sock: socket.socket, line: str) -> None:
        try:
            sock.sendall(line.encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has gone: reading will say so

    def _close(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        del self._unfinished[sock], self._clients[sock]
        sock.close()


def misbehave(asked: argparse.Namespace) -> None:
    """What is asked for that happens before anything is served."""
    for line in asked.say:
        say(line)
    for number in range(asked.flood):
        say(f"{number:0200}")
    if asked.exit is not None:
        sys.exit(asked.exit)


def serve(asked: argparse.Namespace, server: Server) -> None:
    if asked.notify:
        if asked.notify_when:
            wait_for(asked.notify_when)
        notify()
    server.run()


def main() -> None:
    asked = options()
    misbehave(asked)
    server: Server | None = None

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        say(f"stop signal with {len(server) if server else 0} streams open")
        if not asked.ignore_sigterm:
            os._exit(0)

    signal.signal(signal.SIGTERM, on_sigterm)
    if asked.child:
        have_child(asked.child)
    if asked.wait_for:
        wait_for(asked.wait_for)
    listener = passed() if asked.passed else bound(asked.socket, asked.backlog)
    server = Server(listener, http=asked.http, proxy=asked.proxy)
    serve(asked, server)


if __name__ == "__main__":
    main()
