"""The token: the file that says who may change something over ``[frontdoor] admin``.

Whoever may read it is frontdoor's own user, or root, who may use the control socket too. It is looked at with every
request that brings a token: so a file that was changed, or removed, counts from that moment on. It is only made where
that is expected, at a start and in a reload: whoever edits the file is not overtaken.
"""

import errno
import hmac
import os
import secrets
import stat
import time

from frontdoor.observe.logs.log import Log

NAME = "admin.token"
"""In ``runtime_dir``."""

SHORTEST = 32
"""Characters. One that frontdoor makes has 43, of 6 bits each."""

_LARGEST = 1024
"""Bytes of the file."""

_SETTLED = 1.0
"""Seconds: a file that has just been changed may change again without a sign of it, so fine is its time stamp."""


class BadToken(Exception):  # noqa: N818 - it says what is
    """The file is no token; the text says why."""


class Token:
    """The token in a runtime folder."""

    def __init__(self, folder: str, shown: str, log: Log) -> None:
        """``shown``: the folder as people know it."""
        self.where = os.path.join(shown, NAME)
        """The file, as people know it."""
        self._path = os.path.join(folder, NAME)
        self._log = log
        self._value = b""
        self._seen: object = None
        """Which state of the file the value is from."""
        self._said = ""

    def __repr__(self) -> str:
        return f"<Token in {self.where}>"

    def make_sure(self) -> None:
        """Take the token of the file, and make a new one if there is none that can be believed.

        Without one, because the folder cannot be written, everything can be read and nothing changed: that is said.
        """
        try:
            self._read()
            return
        except FileNotFoundError:
            why = ""
        except BadToken as bad:
            why = str(bad)
        try:
            self._make()
            self._read()
        except (OSError, BadToken) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            text = f"there is no token, and none can be made ({reason}): over admin nothing can be changed"
            self._log.error("admin.read_only", file=self.where, reason=f"{why}; {text}" if why else text)
            return
        if why:
            self._log.warning("admin.token", file=self.where, reason=f"{why}: it was replaced by a new token")
        else:
            self._log.info("admin.token", file=self.where, reason="it has a new token")

    def matches(self, given: bytes) -> bool:
        """Whether it is the token, as the file has it now."""
        self._look()
        return bool(self._value) and hmac.compare_digest(given, self._value)

    def _look(self) -> None:
        """Read the file again if it is another one than before."""
        try:
            if self._seen is None or _state(os.lstat(self._path)) != self._seen:
                self._read()
            self._said = ""
        except (OSError, BadToken) as error:
            self._value, self._seen = b"", None
            missing = isinstance(error, FileNotFoundError)
            reason = "it is not there any more" if missing else str(error)
            if reason != self._said:
                text = f"{reason}: no token is taken; frontdoor reload makes a new one"
                self._log.warning("admin.token", file=self.where, reason=text)
            self._said = reason

    def _read(self) -> None:
        """Raises BadToken, FileNotFoundError; then there is no token."""
        self._value, self._seen = b"", None
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as error:
            why = "it is a link" if error.errno == errno.ELOOP else f"it cannot be read ({error.strerror})"
            raise BadToken(why) from None
        try:
            found = os.fstat(fd)
            check(found)
            self._value = parse(os.read(fd, _LARGEST + 1))
        except OSError as error:
            raise BadToken(f"it cannot be read ({error.strerror})") from None
        finally:
            os.close(fd)
        if time.time() - found.st_ctime > _SETTLED:
            self._seen = _state(found)

    def _make(self) -> None:
        """Write a new one, whole before it has its name. Raises OSError."""
        new = f"{self._path}.new"
        try:
            os.unlink(new)
        except FileNotFoundError:
            pass
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(fd, 0o600)  # the umask may have taken more away
            os.write(fd, secrets.token_urlsafe(32).encode() + b"\n")
        finally:
            os.close(fd)
        os.rename(new, self._path)  # in the place of whatever is there, and through no link


def check(found: os.stat_result) -> None:
    """Raise BadToken unless it is a file that is ours, and that nobody else can read."""
    if not stat.S_ISREG(found.st_mode):
        raise BadToken("it is not a file")
    if found.st_uid != os.geteuid():
        raise BadToken(f"it belongs to another user (uid {found.st_uid})")
    if found.st_mode & 0o077:
        raise BadToken(f"others may read or write it (mode {stat.S_IMODE(found.st_mode):04o})")


def parse(data: bytes) -> bytes:
    """Return the token of a file's content. Raises BadToken."""
    token = data.strip()
    if not token:
        raise BadToken("it is empty")
    if len(data) > _LARGEST:
        raise BadToken(f"it has more than {_LARGEST} bytes")
    if any(not 0x21 <= byte <= 0x7E for byte in token):
        raise BadToken("it has more in it than one line of visible ASCII characters")
    if len(token) < SHORTEST:
        raise BadToken(f"it has {len(token)} characters, and a token has {SHORTEST} at least")
    return token


def _state(found: os.stat_result) -> tuple[int, ...]:
    """What is another one when the file, or who may read it, is."""
    return (
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_mode,
        found.st_uid,
    )
