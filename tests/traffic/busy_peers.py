"""Traffic from a process of its own: ``python -m traffic.busy_peers SOCKET PORT CONNECTIONS SIZE``.

It is the backend at SOCKET, which echoes, and so many clients of PORT that send messages of SIZE bytes for ever, each
when the one before has come back.
"""

import os
import selectors
import socket
import sys


def main(path: str, port: int, connections: int, size: int) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(1000)
    print("listening", flush=True)
    message = os.urandom(size)
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    backends = [listening.accept()[0] for _ in clients]
    selector = selectors.DefaultSelector()
    for peer in (*clients, *backends):
        peer.setblocking(False)
        selector.register(peer, selectors.EVENT_READ, bytearray())
    for client in clients:
        selector.modify(client, selectors.EVENT_WRITE, bytearray(message))
    while True:
        for key, events in selector.select():
            sock, unsent = key.fileobj, key.data
            assert isinstance(sock, socket.socket)
            if events & selectors.EVENT_READ:
                unsent += sock.recv(1 << 16)
            try:
                del unsent[: sock.send(unsent)]
            except BlockingIOError:
                pass  # the relay is slower than this: wait until there is room
            selector.modify(sock, selectors.EVENT_WRITE if unsent else selectors.EVENT_READ, unsent)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
