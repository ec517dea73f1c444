"""What the keeper does as root for a door process that is not root: what the config says, which it has read itself.

The door process asks for listeners and for processes; who has taken it over asks for others. He cannot hand the keeper
another config either: it is read from the disk, where that user must not be able to change it.

There are permits only where frontdoor is started as root with ``[frontdoor] user``. Else the door process has whatever
rights the keeper has, and there is nothing to permit.
"""

import errno
import ipaddress
import os
import stat
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from frontdoor.keeper import folders
from frontdoor.keeper.folders import FolderError
from frontdoor.keeper.identity import Identity, IdentityError, acting_as, look_up
from frontdoor.keeper.stderr import say
from frontdoor.keeper.way import changeable_by, is_roots_alone

_LARGEST = 64 << 10
"""Bytes of a config: what is larger the door process refuses, too."""

_EVERY_VERSION = "*"
_UNIX = "unix:"

User = tuple[str, str]
"""The names of a user and a group; "" for none."""


class NotPermitted(OSError):  # noqa: N818 - the keeper's answer, said as such
    """What was asked for is not in the config; the text says so."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EPERM, text)


class Unsafe(Exception):  # noqa: N818 - it says what is
    """As things are, the user of the door process could become root, or could not run it; the text says what to do."""

    def __init__(self, text: str, exit_code: int = 2) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Named:
    """What a config names: addresses to listen at, in one form each, and users to start processes as."""

    addresses: frozenset[str]
    users: frozenset[User]

    def __or__(self, other: "Named") -> "Named":
        return Named(self.addresses | other.addresses, self.users | other.users)


class Permits:
    """What may be done for the door process, and who it is."""

    def __init__(self, config: str, door: Identity, group: str, runtime_dir: str, named: Named) -> None:
        """``door``: who the door process runs as; ``group``: who beside him may use the control socket."""
        self.door = door
        self._config = config
        self._group = group
        self._runtime_dir = runtime_dir
        self._named = named
        self._seen: object = None
        """Which state of the file was read last."""

    def __repr__(self) -> str:
        return f"<Permits of the {self.door}: {self._named}>"

    @classmethod
    def read(cls, config: str) -> "Permits | None":
        """At the start. None: there is nothing to permit. Makes the folders of the config for the user.

        A config that cannot be read is none of its affairs: the door process says what is wrong with it, and with a
        ``user`` it does not go on as root. Raises Unsafe.
        """
        if os.geteuid() != 0:
            return None
        try:
            table = _load(config)
        except (OSError, ValueError):
            return None
        own = _table(table.get("frontdoor"))
        user, group = _text(own.get("user")), _text(own.get("group"))
        if not user:
            return None
        try:
            door = look_up(user, "")
            if group:
                look_up("", group)
        except (IdentityError, ValueError) as error:
            raise Unsafe(f"[frontdoor] in {config}: {error}") from None
        if door is None or door.uid == 0:
            return None
        runtime_dir = _folder(config, own.get("runtime_dir"), "RUNTIME_DIRECTORY") or _beside(config, "run")
        it = cls(config, door, group, runtime_dir, named(table, os.path.dirname(config)))
        it._check_config()
        it._look_at_code()
        it._make(_folder(config, own.get("state_dir"), "STATE_DIRECTORY"))
        return it

    def _make(self, state_dir: str | None) -> None:
        try:
            folders.make(self._runtime_dir, self.door, "[frontdoor] runtime_dir", 0o711)
            if state_dir not in (None, self._runtime_dir):
                folders.make(str(state_dir), self.door, "[frontdoor] state_dir", 0o700)
        except FolderError as error:
            raise Unsafe(str(error), 1) from None

    def _check_config(self) -> None:
        """Who may change the config names the users and the addresses in it."""
        if (step := changeable_by(self.door, self._config)) is not None:
            what = "the config" if step == self._config else f"the way to the config {self._config}"
            text = f"{what} can be changed by the {self.door}, as whom the door process runs, at {step}"
            raise Unsafe(f"{text}: who takes that over could become root by it. chown root, and chmod go-w, {step}")
        with acting_as(self.door):
            if not os.access(self._config, os.R_OK, effective_ids=True):
                text = f"the config {self._config} cannot be read by the {self.door}, as whom the door process runs"
                raise Unsafe(f"{text}: give it to a group of his, with mode 0640, and let him pass the folders to it")

    def _look_at_code(self) -> None:
        for path in (sys.executable, os.path.dirname(__file__)):
            if (step := changeable_by(self.door, path)) is not None:
                text = f"the {self.door} can change {step}, on the way to the code that frontdoor runs as root"
                say(f"{text}, and become root by it: chown root, and chmod go-w, {step}")

    # -- what is asked for ------------------------------------------------------------------------------------------

    def user(self, user: str, group: str) -> Identity:
        """Who a process is to run as: the user of the door process, where none is named. Raises NotPermitted."""
        if not user and not group:
            return self.door
        if not self._names(lambda named: (user, group) in named.users):
            who = " and ".join(f"{kind} {name}" for kind, name in (("user", user), ("group", group)) if name)
            raise NotPermitted(f"the keeper starts nothing as {who}: the config {self._config} does not name that")
        found = look_up(user, group)
        assert found is not None
        if not user:
            return replace(found, uid=self.door.uid, env=self.door.env)
        if found.uid == 0:
            text = f"the keeper starts nothing as root ({found}) while [frontdoor] user is set"
            raise NotPermitted(f"{text}: run it yourself, and give its `socket`")
        return found

    def listener(self, address: str, group: str) -> tuple[str, Identity | None]:
        """How a listener is opened: its address in one form, and whose rights it takes; None: root's.

        A Unix socket takes root's rights only where nobody else can change what its path leads to. Raises NotPermitted.
        """
        if group and group != self._group:
            raise NotPermitted(f"the keeper lets group {group} in nowhere: [frontdoor] group does not name it")
        form = _form(address, "/")
        path = form.removeprefix(_UNIX) if form.startswith(_UNIX) else None
        inside = path is not None and path.startswith(f"{self._runtime_dir}/")
        if not inside and not self._names(lambda named: form in named.addresses):
            raise NotPermitted(f"the keeper listens there only if the config {self._config} says so, and it does not")
        if path is None or (not inside and is_roots_alone(os.path.dirname(path))):
            return form, None
        groups = [look_up("", group)] if group else []
        return form, replace(self.door, groups=[*self.door.groups, *(found.gid for found in groups if found)])

    def give(self, folder: str, owner: Identity) -> None:
        """Give the folder of a generation to who it runs as. Raises FolderError, OSError."""
        folders.give(self._runtime_dir, folder, owner, self.door)

    def let_in(self, path: str) -> None:
        """Let the door process dial the socket that a process has made there. Raises FolderError, OSError."""
        folders.let_in(self._runtime_dir, path, self.door)

    def _names(self, it: Callable[[Named], bool]) -> bool:
        """Whether the config names it: as it was read before, or as it is on the disk now.

        What it named once counts until frontdoor ends: generations from before a reload may have to be started again.
        """
        if it(self._named):
            return True
        try:
            found = os.stat(self._config)
            seen = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if seen != self._seen:
                self._check_config()
                self._named |= named(_load(self._config), os.path.dirname(self._config))
                self._seen = seen
        except (OSError, ValueError, Unsafe):
            return False
        return it(self._named)

    # -- a renewal of the keeper ------------------------------------------------------------------------------------

    def remember(self) -> dict[str, Any]:
        """All of it, as JSON."""
        named = {"addresses": sorted(self._named.addresses), "users": sorted(self._named.users)}
        door = {**asdict(self.door), "groups": list(self.door.groups), "env": dict(self.door.env)}
        return {"door": door, "group": self._group, "runtime_dir": self._runtime_dir, "config": self._config, **named}

    @classmethod
    def recall(cls, remembered: Mapping[str, Any]) -> "Permits":
        """As it was: the user stays, whatever the config says by now. Raises KeyError, TypeError."""
        users = frozenset((user, group) for user, group in remembered["users"])
        named = Named(frozenset(remembered["addresses"]), users)
        door = Identity(**{key: remembered["door"][key] for key in ("name", "uid", "gid", "groups", "env")})
        return cls(remembered["config"], door, remembered["group"], remembered["runtime_dir"], named)


# -- the config --------------------------------------------------------------------------------------------------------


def named(table: Mapping[str, Any], folder: str) -> Named:
    """What a config names. ``folder``: that of its file. What is not valid in it names nothing."""
    admin = _form(_text(_table(table.get("frontdoor")).get("admin")), folder)
    addresses, users = {admin} - {""}, set[User]()
    for door in _doors(table):
        listen = door.get("listen")
        for address in listen if isinstance(listen, list) else ():
            if isinstance(address, str) and (form := _form(address, folder)):
                addresses.add(form)
        backends = _table(door.get("backends"))
        general = _table(backends.get(_EVERY_VERSION))
        for backend in map(_table, backends.values()):
            user, group = (_text(backend.get(key, general.get(key))) for key in ("user", "group"))
            users.add((user, group))
    return Named(frozenset(addresses), frozenset(users))


def _doors(table: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield table
    yield from map(_table, _table(table.get("doors")).values())


def _form(address: str, folder: str) -> str:
    """One form of an address, so that two that are the same are equal; empty when it is none."""
    kind, colon, rest = address.partition(":")
    if kind == "systemd":
        return address
    if kind == "unix":
        return f"{_UNIX}{os.path.normpath(os.path.join(folder, rest))}" if rest else ""
    host, colon, port = address.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()):
        return ""
    host = host.strip("[]").lower()
    try:
        host = str(ipaddress.ip_address(host))
    except ValueError:
        pass  # a name
    return f"{host}:{int(port)}"


def _load(path: str) -> dict[str, Any]:
    """The tables of a config. Raises OSError, ValueError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # it may be a FIFO that nobody writes to
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("it is not a file")
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError("it is too large")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _folder(config: str, value: object, variable: str) -> str | None:
    """A folder that the config names, else the first that systemd does (systemd.exec(5)); absolute."""
    shown = _text(value) or os.environ.get(variable, "").split(":")[0]
    return _beside(config, shown) if shown else None


def _beside(config: str, name: str) -> str:
    return os.path.normpath(os.path.join(os.path.dirname(config), name))


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
