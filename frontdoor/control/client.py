"""The blocking client of the control API: HTTP over a Unix socket, with the standard library only.

The command line is a fresh process for every call: this must be imported in some tens of milliseconds,
which is why it is neither trio nor a library of its own.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from .dial import Broken, ControlError, Refused, connect

ANSWER_TIMEOUT = 30.0  # seconds for one call to be answered; streams of events may be silent for ever
RESTART_TIMEOUT = 10.0  # seconds in which a door process that died should be back


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("frontdoor", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = connect(self._path)
        self.sock.settimeout(self.timeout)


class Lines:
    """The answer to a call that takes time: an iterator of its lines, and the connection they come over.

    `swap` or `upgrade` is the number by which it can be found again when the connection breaks.
    """

    def __init__(self, connection: _Connection, response: http.client.HTTPResponse, path: str) -> None:
        self._connection = connection
        self._response = response
        self._path = path
        self.swap, self.upgrade = (
            int(number) if (number := response.getheader(f"frontdoor-{noun}", "")).isdecimal() else None
            for noun in ("swap", "upgrade")
        )

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop following."""
        self._response.close()
        self._connection.close()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Give every line until the answer, or the connection, ends.

        http.client does not tell the two apart: only a last line with ``exit_code`` is an outcome.
        """
        while True:
            try:
                line = self._response.readline()
            except (OSError, http.client.HTTPException):
                return
            if not line:
                return
            if line.endswith(b"\n"):  # else the connection broke in the middle of it
                yield _object(line, self._path)


class Client:
    """Calls to the control socket at `path`, each over a connection of its own."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<Client {self.path}>"

    def get(self, target: str, patience: float = RESTART_TIMEOUT) -> tuple[int, dict[str, Any]]:
        """Ask; returns HTTP status and answer.

        A door process that dies meanwhile is waited for, `patience` seconds: asking again changes nothing.
        Raises :exc:`ControlError`.
        """
        deadline = time.monotonic() + patience
        while True:
            try:
                return self._call("GET", target, None)
            except Broken:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def post(self, target: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Ask for a change whose outcome comes at once; returns HTTP status and answer. Raises ControlError."""
        return self._call("POST", target, body)

    def ask(self, target: str) -> dict[str, Any]:
        """Return the answer to a GET. Raises :exc:`Refused` too."""
        return _granted(*self.get(target))

    def read(self, target: str, patience: float = RESTART_TIMEOUT) -> bytes:
        """Return the answer to a GET whose answer is no JSON. Raises :exc:`Refused` too."""
        deadline = time.monotonic() + patience
        while True:
            try:
                connection, response = self._send("GET", target, None)
                data = self._data(connection, response)
            except Broken:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                if response.status != 200:
                    raise Refused(response.status, _object(data, self.path))
                return data

    def tell(self, target: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outcome of a POST. Raises :exc:`Refused` too."""
        return _granted(*self.post(target, body))

    def stream(self, method: str, target: str, body: Mapping[str, Any] | None = None) -> Lines:
        """Begin a call that takes time. Raises :exc:`Refused` and the other ControlErrors."""
        connection, response = self._send(method, target, body)
        if response.status != 200:
            raise Refused(response.status, self._read(connection, response))
        return Lines(connection, response, self.path)

    def _call(self, method: str, target: str, body: Mapping[str, Any] | None) -> tuple[int, dict[str, Any]]:
        connection, response = self._send(method, target, body)
        return response.status, self._read(connection, response)

    def _send(
        self, method: str, target: str, body: Mapping[str, Any] | None
    ) -> tuple[_Connection, http.client.HTTPResponse]:
        connection = _Connection(self.path, ANSWER_TIMEOUT)
        try:
            data = None if body is None else json.dumps(body).encode()
            # It asks once: the server need not wait for more, and has the connection's place free for the next.
            connection.request(method, target, data, {"Connection": "close"})
            sock = connection.sock
            response = connection.getresponse()
            if response.getheader("content-length") is None:
                sock.settimeout(None)  # lines come when something happens
        except TimeoutError:
            connection.close()
            raise ControlError(f"the frontdoor at {self.path} does not answer") from None
        except (OSError, http.client.HTTPException):
            connection.close()
            raise Broken(f"the connection to {self.path} broke before it answered") from None
        except BaseException:
            connection.close()
            raise
        return connection, response

    def _read(self, connection: _Connection, response: http.client.HTTPResponse) -> dict[str, Any]:
        return _object(self._data(connection, response), self.path)

    def _data(self, connection: _Connection, response: http.client.HTTPResponse) -> bytes:
        try:
            data = response.read()
            if not data:
                raise Broken(f"the connection to {self.path} broke before it answered")
            return data
        except TimeoutError:
            raise ControlError(f"the frontdoor at {self.path} does not answer") from None
        except (OSError, http.client.HTTPException):
            raise Broken(f"the connection to {self.path} broke") from None
        finally:
            connection.close()


def _granted(status: int, answer: dict[str, Any]) -> dict[str, Any]:
    if status != 200:
        raise Refused(status, answer)
    return answer


def _object(data: bytes, path: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ControlError(f"what answers at {path} is no frontdoor")
    return value
