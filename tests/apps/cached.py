"""A web app for tests that keeps the pages that it has made once, and prints each that it had to make.

GET of any page: `X-Cache` is `miss` or `hit`, `X-Version` says who answers. One is answered with 500: that which the
variable BROKEN names; at `/crash` it ends.
"""

import os
import socketserver
from http.server import BaseHTTPRequestHandler

CACHE: set[str] = set()


class Pages(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        found = self.path in CACHE or self.path == "/healthz"
        if not found:
            print(f"made {self.path}", flush=True)
            CACHE.add(self.path)
        if self.path == "/crash":
            os._exit(9)
        self.send_response(500 if self.path == os.environ.get("BROKEN") else 200)
        self.send_header("X-Cache", "hit" if found else "miss")
        self.send_header("X-Version", os.environ["FRONTDOOR_VERSION"])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing: what is printed is looked at."""


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 100


if __name__ == "__main__":
    Server(os.environ["FRONTDOOR_SOCKET"], Pages).serve_forever()
