"""What the keeper holds, descriptors and children, and the requests of the door process that change it."""

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence

from frontdoor.keeper import wire
from frontdoor.keeper.children import Child, Children
from frontdoor.keeper.identity import IdentityError, look_up
from frontdoor.keeper.listeners import open_listeners
from frontdoor.keeper.spawn import Program, SpawnError
from frontdoor.keeper.vault import Vault

_REST_OF_A_MESSAGE = 256
"""More bytes than a message about something that is kept has beside its key and its note."""

Answer = tuple[wire.Body, Sequence[int]]
"""What goes back: the fields of the answer, and descriptors that stay the vault's own."""


class Custody:
    """The vault, the children, and what the door process has said about itself."""

    def __init__(self, child_changed: Callable[[wire.Body], None], nofile: tuple[int, int]) -> None:
        self.vault = Vault()
        self.children = Children(lambda child: child_changed({"op": "exited", **_about(child)}))
        self.serving = False
        """The door process has served: its death is answered with a new start."""
        self.leave_with: int | None = None
        """The exit code, once the door process has said that it leaves on purpose."""
        self._nofile = nofile
        self._since = time.monotonic()

    def answer(self, message: wire.Message) -> Answer:
        """Carry out one request. Nothing that is asked for, or is not understood, ends the keeper."""
        body = message.body
        try:
            operation = _OPERATIONS.get(str(body.get("op")))
            if operation is None:
                raise ValueError(f"no operation is called {body.get('op')!r}")
            if message.truncated:
                why = "the keeper is at its limit of open files and could not take the descriptors"
                raise OSError(errno.EMFILE, why)
            return operation(self, message)
        except (IdentityError, SpawnError) as error:
            return _refused(str(error)), ()
        except OSError as error:
            return _refused(error.strerror or str(error), error.errno), ()
        except Exception as error:  # a key that is missing, a value of a wrong type: too many kinds to name them all
            return _refused(f"{type(error).__name__}: {error}"), ()
        finally:
            message.close()

    def inventory(self) -> Iterator[tuple[wire.Body, Sequence[int]]]:
        """All that is held, a message each: what a door process starts from."""
        for entry in self.vault:
            for first in range(0, max(1, len(entry.fds)), wire.MAX_DESCRIPTORS):
                part = entry.fds[first : first + wire.MAX_DESCRIPTORS]
                yield {"op": "held", "key": entry.key, "note": entry.note, "first": first}, part
        for child in self.children:
            yield {"op": "child", **_about(child)}, ()

    def hello(self, message: wire.Message) -> Answer:
        """The end of the inventory. The number is checked before anything is handed out."""
        if message.body["protocol"] != wire.PROTOCOL:
            raise ValueError(f"this keeper speaks protocol {wire.PROTOCOL}, not {message.body['protocol']}")
        return {"protocol": wire.PROTOCOL, "pid": os.getpid(), "since": self._since}, ()

    def listen(self, message: wire.Message) -> Answer:
        """Open a listener and keep it. What is kept under that key already is handed out as it is."""
        key, note = _key_and_note(message)
        held = self.vault.get(key)
        if held is not None and held.fds:
            return {}, held.fds
        sockets = open_listeners(message.body["address"], mode=message.body.get("mode"))
        entry = self.vault.put(key, note, [sock.detach() for sock in sockets])
        return {}, entry.fds

    def put(self, message: wire.Message) -> Answer:
        """Keep the descriptors that came with the message."""
        self.vault.put(*_key_and_note(message), message.fds)
        message.fds.clear()  # they are the vault's now
        return {}, ()

    def note(self, message: wire.Message) -> Answer:
        """Remember a JSON value."""
        self.vault.note(*_key_and_note(message))
        return {}, ()

    def drop(self, message: wire.Message) -> Answer:
        """Close what is kept under the keys."""
        return {"dropped": [key for key in message.body["keys"] if self.vault.drop(key)]}, ()

    def spawn(self, message: wire.Message) -> Answer:
        """Start a process; its output's read end goes back, and stays here too."""
        body = message.body
        key, note = _key_and_note(message)
        read, write = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read, False)  # the write end is another open file description: the backend's stays blocking
        try:
            program = Program(
                _argv(body),
                dict(body["env"]),
                body.get("cwd"),
                look_up(body.get("user", ""), body.get("group", "")),
                body.get("folder"),
                stdin=message.fds[0] if body.get("stdin") else None,
                listener=self._listener(body.get("listener")),
                output=write,
                nofile=self._nofile,
            )
            child = self.children.spawn(key, program, note)
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
        # Without any reader the backend would get SIGPIPE while the door process is dead.
        self.vault.put(output_key(child.key), None, [read])
        return {"key": child.key, "pid": child.pid}, (read,)

    def _listener(self, key: str | None) -> int | None:
        if key is None:
            return None
        held = self.vault.get(key)
        if held is None or not held.fds:
            raise ValueError(f"no listener is kept under {key!r}")
        # Each process expects it so, as from systemd; and the one before may have changed it, for all who share it.
        os.set_blocking(held.fds[0], True)
        return held.fds[0]

    def signal(self, message: wire.Message) -> Answer:
        """Signal a child's whole group."""
        return {"sent": self.children.signal(message.body["key"], message.body["number"])}, ()

    def forget(self, message: wire.Message) -> Answer:
        """The end of a child has been noted: its entry and its output go."""
        key = message.body["key"]
        if self.children.forget(key):
            self.vault.drop(output_key(key))
        return {}, ()

    def served(self, message: wire.Message) -> Answer:
        """The door process serves."""
        self.serving = True
        return {}, ()

    def bye(self, message: wire.Message) -> Answer:
        """The door process is about to leave on purpose, and everything ends with it."""
        code = int(message.body["code"])
        if not 0 <= code <= 255:
            raise ValueError(f"{code} is no exit code")
        self.leave_with = code
        return {}, ()


def _key_and_note(message: wire.Message) -> tuple[str, object]:
    """Of something to be kept. Raises ValueError when they are too large to be handed out again."""
    key, note = message.body["key"], message.body.get("note")
    if not isinstance(key, str):
        raise TypeError(f"a key is a string, not {key!r}")
    wire.encode({"key": key, "note": note}, wire.MAX_BYTES - _REST_OF_A_MESSAGE)
    return key, note


def _argv(body: wire.Body) -> list[str]:
    argv = body["argv"]
    if not isinstance(argv, list) or not argv or not all(isinstance(word, str) for word in argv):
        raise TypeError(f"a command is a list of strings, not {argv!r}")
    return argv


def _refused(why: str, number: int | None = None) -> wire.Body:
    # Cut: it may quote what was asked for, and that may be as long as a message.
    return {"error": why[:2000], "errno": number}


def output_key(child: str) -> str:
    """Where the vault keeps the read end of a child's output."""
    return f"output/{child}"


def _about(child: Child) -> wire.Body:
    return {
        "key": child.key,
        "pid": child.pid,
        "note": child.note,
        "status": child.status,
        "gone": child.gone,
    }


_OPERATIONS: dict[str, Callable[[Custody, wire.Message], Answer]] = {
    "hello": Custody.hello,
    "listen": Custody.listen,
    "put": Custody.put,
    "note": Custody.note,
    "drop": Custody.drop,
    "spawn": Custody.spawn,
    "signal": Custody.signal,
    "forget": Custody.forget,
    "served": Custody.served,
    "bye": Custody.bye,
}
