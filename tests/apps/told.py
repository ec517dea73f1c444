"""A backend that can be told that it drains, by SIGUSR1 or by a POST, and writes down what it was told.

It echoes lines; a connection that begins with POST is answered as `--answer` says: a status, or "hang" for never. What
it was told is in `told` in its folder, a line each.
"""

import argparse
import os
import signal
import socket
import threading
from types import FrameType
from typing import BinaryIO

NAME = f"{os.environ['FRONTDOOR_VERSION']}#{os.environ['FRONTDOOR_GENERATION']}.{os.environ['FRONTDOOR_PROCESS']}"


def note(text: str) -> None:
    with open("told", "a") as file:
        file.write(f"{NAME} {text}\n")


def on_signal(number: int, frame: FrameType | None) -> None:
    note(signal.Signals(number).name)


def post(request: bytes, file: BinaryIO, sock: socket.socket, answer: str) -> None:
    length = 0
    while header := file.readline().strip():
        name, _, value = header.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    note(f"{request.decode().split()[1]} {file.read(length).decode()}")
    if answer == "hang":
        file.read()
        note("it hung up")
    else:
        sock.sendall(f"HTTP/1.1 {answer} Answer\r\nContent-Length: 0\r\n\r\n".encode())


def serve(sock: socket.socket, answer: str) -> None:
    with sock, sock.makefile("rb") as file:
        for line in file:
            if line.startswith(b"POST "):
                post(line, file, sock, answer)
                return
            sock.sendall(line)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--answer", default="204")
    answer = parser.parse_args().answer
    signal.signal(signal.SIGUSR1, on_signal)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.environ["FRONTDOOR_SOCKET"])
        listener.listen(100)
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=serve, args=(sock, answer), daemon=True).start()


main()
