"""What the keeper holds, descriptors and children, and the requests of the door process that change it."""

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from frontdoor import __version__
from frontdoor.keeper import activation, wire
from frontdoor.keeper.activation import Activation
from frontdoor.keeper.children import Child, Children
from frontdoor.keeper.folders import FolderError
from frontdoor.keeper.identity import Identity, IdentityError, look_up
from frontdoor.keeper.listeners import open_listeners
from frontdoor.keeper.permits import NotPermitted, Permits
from frontdoor.keeper.preview import Preview
from frontdoor.keeper.spawn import Program, SpawnError
from frontdoor.keeper.vault import MAX_ENTRY, Entry, Vault

Answer = tuple[wire.Body, Sequence[int]]
"""What goes back: the fields of the answer, and descriptors that stay the vault's own."""


class Custody:
    """The vault, the children, and what the door process has said about itself."""

    def __init__(
        self, child_changed: Callable[[wire.Body], None], nofile: tuple[int, int], permits: Permits | None = None
    ) -> None:
        self.permits = permits
        """What the door process may ask for, where it has less rights than the keeper."""
        self.vault = Vault()
        self.children = Children(lambda child: child_changed({"op": "exited", **_about(child)}))
        self.activation = Activation()
        """What systemd has passed."""
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
        except (IdentityError, SpawnError, FolderError) as error:
            return _refused(str(error)), ()
        except OSError as error:
            return _refused(error.strerror or str(error), error.errno), ()
        except Exception as error:  # a key that is missing, a value of a wrong type: too many kinds to name them all
            return _refused(f"{type(error).__name__}: {error}"), ()
        finally:
            message.close()

    def inventory(self, preview: Preview | None = None) -> Iterator[tuple[wire.Body, Sequence[int]]]:
        """All that is held, as the messages of it: what a door process starts from.

        ``preview``: what it has of that already: what is as it was then is not among them.
        """
        for keys in preview.gone() if preview is not None else ():
            yield {"op": "gone", "keys": keys}, ()
        for entries, fds in _batches(self.vault if preview is None else preview.rest()):
            yield {"op": "held", "entries": entries}, fds
        for child in self.children:
            yield {"op": "child", **_about(child)}, ()

    def remember(self) -> dict[str, Any]:
        """All of it, as JSON, for a renewal of the keeper."""
        return {
            "vault": self.vault.remember(),
            "children": self.children.remember(),
            "serving": self.serving,
            "leave_with": self.leave_with,
            "nofile": self._nofile,
            "since": self._since,
            "activation": self.activation.passed,
            "permits": self.permits.remember() if self.permits is not None else None,
        }

    def recall(self, remembered: Mapping[str, Any]) -> None:
        """As it was. Raises KeyError, ValueError, TypeError."""
        self.vault.recall(remembered["vault"])
        self.children.recall(remembered["children"])
        self.serving, self.leave_with = remembered["serving"], remembered["leave_with"]
        permits = remembered.get("permits")
        self.permits = Permits.recall(permits) if permits is not None else None
        soft, hard = remembered["nofile"]
        self._nofile, self._since = (soft, hard), remembered["since"]
        self.activation = Activation([(name, fd) for name, fd in remembered["activation"]])

    def descriptors(self) -> Iterator[int]:
        """All that are held, apart from the children's."""
        yield from self.vault.descriptors()
        yield from (fd for _, fd in self.activation.passed)

    def hello(self, message: wire.Message) -> Answer:
        """The end of the inventory. The number is checked before anything is handed out.

        It is in the refusal too: who also speaks that one may ask again.
        """
        answer = {"protocol": wire.PROTOCOL, "pid": os.getpid(), "since": self._since, "version": __version__}
        if message.body["protocol"] != wire.PROTOCOL:
            why = f"this keeper speaks protocol {wire.PROTOCOL}, not {message.body['protocol']}"
            answer |= _refused(why, errno.EPROTONOSUPPORT)
        return answer, ()

    def listen(self, message: wire.Message) -> Answer:
        """Open a listener and keep it. What is kept under that key already is handed out as it is."""
        asked = _asked(message)
        held = self.vault.get(asked.key)
        if held is not None and held.fds:
            return {}, held.fds
        address, group, rights = message.body["address"], message.body.get("group") or "", None
        if self.permits is not None:
            address, rights = self.permits.listener(address, group)
        if isinstance(address, str) and address.startswith(activation.PREFIX):
            sockets = self.activation.open(address)
        else:
            named, mode = look_up("", group), message.body.get("mode")
            gid = named.gid if named is not None else None
            try:
                sockets = open_listeners(address, mode=mode, group=gid, rights=rights)
            except PermissionError as error:
                if rights is None:
                    raise
                text = f"the {rights} may not make a socket there ({error.strerror})"
                raise NotPermitted(f"{text}, and root's rights are not used where others can write") from None
        entry = self.vault.put(asked.key, asked.note, [sock.detach() for sock in sockets])
        return {}, entry.fds

    def put(self, message: wire.Message) -> Answer:
        """Keep the descriptors that came with the message, for each entry its own: all of them or, refused, none."""
        entries = _dealt(message.body["entries"], message.fds)
        self.vault.check_room(entries)
        message.fds.clear()  # they are the vault's now
        for entry in entries:
            self.vault.keep(entry)
        return {}, ()

    def note(self, message: wire.Message) -> Answer:
        """Remember a JSON value."""
        asked = _asked(message)
        self.vault.note(asked.key, asked.note)
        return {}, ()

    def drop(self, message: wire.Message) -> Answer:
        """Close what is kept under the keys."""
        return {"dropped": [key for key in message.body["keys"] if self.vault.drop(key)]}, ()

    def spawn(self, message: wire.Message) -> Answer:
        """Start a process; its output's read end goes back, and stays here too."""
        body = message.body
        asked = _asked(message)
        read, write = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read, False)  # the write end is another open file description: the backend's stays blocking
        try:
            program = Program(
                _argv(body),
                dict(body["env"]),
                body.get("cwd"),
                *self._who_and_where(body.get("user", ""), body.get("group", ""), body.get("folder")),
                stdin=message.fds[0] if body.get("stdin") else None,
                listener=self._listener(body.get("listener")),
                output=write,
                nofile=self._nofile,
            )
            # Before it runs: a key that is almost too long is too long for this. Without any reader the backend would
            # get SIGPIPE while the door process is dead.
            kept = _entry(output_key(asked.key), None, [read])
            child = self.children.spawn(asked.key, program, asked.note)
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
        self.vault.keep(kept)
        return {"key": child.key, "pid": child.pid}, (read,)

    def _who_and_where(self, user: str, group: str, folder: str | None) -> tuple[Identity | None, str | None]:
        """Who a process runs as, and the folder that he is still to be given."""
        if self.permits is None:
            return look_up(user, group), folder
        identity = self.permits.user(user, group)
        if folder is not None:
            self.permits.give(folder, identity)
        return identity, None

    def let_in(self, message: wire.Message) -> Answer:
        """A process has made a socket: the door process has to be able to dial it, whoever made it."""
        if self.permits is not None:
            self.permits.let_in(message.body["path"])
        return {}, ()

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

    def tell(self, message: wire.Message) -> Answer:
        """Signal a child alone, which is to go on. Not a kind of ``signal``: an older keeper would tell the group."""
        return {"sent": self.children.tell(message.body["key"], message.body["number"])}, ()

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

    def report(self, message: wire.Message) -> Answer:
        """How things stand has changed: nothing to be kept, but the keeper tells it (:mod:`.notify`)."""
        return {}, ()

    def bye(self, message: wire.Message) -> Answer:
        """The door process is about to leave on purpose, and everything ends with it."""
        code = message.body["code"]
        if type(code) is not int or not 0 <= code <= 255:  # and no bool
            raise ValueError(f"{code!r} is no exit code")
        self.leave_with = code
        return {}, ()


def _asked(message: wire.Message) -> Entry:
    """What is to be kept, without descriptors yet."""
    return _entry(message.body["key"], message.body.get("note"))


def _entry(key: Any, note: Any, fds: Sequence[int] = ()) -> Entry:
    if not isinstance(key, str):
        raise TypeError(f"a key is a string, not {key!r}")
    return Entry(key, note, tuple(fds))


def _dealt(asked: Any, fds: Sequence[int]) -> list[Entry]:
    """The entries of a ``put``, each with its descriptors. Raises, as a whole, when they are not what was said."""
    counts = [count for _, _, count in asked]
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        raise ValueError(f"the counts of descriptors are {counts!r}")
    if sum(counts) != len(fds):
        raise ValueError(f"{sum(counts)} descriptors should have come, and {len(fds)} came")
    ends = accumulate(counts)
    entries = [_entry(key, note, fds[end - count : end]) for (key, note, count), end in zip(asked, ends, strict=True)]
    if len({entry.key for entry in entries}) != len(entries):
        raise ValueError("a key stands there twice")
    return entries


def keys_of(put: wire.Body) -> list[str]:
    """Of the entries of a ``put``, as far as they are some: it may be garbage."""
    entries = put.get("entries")
    found = [entry[0] for entry in entries if isinstance(entry, list) and entry] if isinstance(entries, list) else []
    return [key for key in found if isinstance(key, str)]


def _batches(vault: Iterable[Entry]) -> Iterator[tuple[list[Any], list[int]]]:
    """As many entries in a message as fit. One with more descriptors than that comes in parts of the same key."""
    entries, fds, size = list[Any](), list[int](), 0
    for entry in vault:
        for first in range(0, max(1, len(entry.fds)), wire.MAX_DESCRIPTORS):
            part = entry.fds[first : first + wire.MAX_DESCRIPTORS]
            if entries and (len(fds) + len(part) > wire.MAX_DESCRIPTORS or size + entry.size > MAX_ENTRY):
                yield entries, fds
                entries, fds, size = [], [], 0
            entries.append([entry.key, entry.note, len(part)])
            fds.extend(part)
            size += entry.size
    if entries:
        yield entries, fds


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
    "let_in": Custody.let_in,
    "signal": Custody.signal,
    "tell": Custody.tell,
    "forget": Custody.forget,
    "served": Custody.served,
    "report": Custody.report,
    "bye": Custody.bye,
}
