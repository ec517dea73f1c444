"""Tests of what a user without rights sees, run by root as in CI, or by such a user."""

import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_SCRIPT = """
set -e
mount --make-rprivate /
kept=$(mktemp -d)
mount --bind "$1" "$kept"
mount -t tmpfs -o mode=755 none "$2"
mkdir -p "$1"
mount --bind "$kept" "$1"
umount "$kept"
rmdir "$kept"
shift 2
exec "$@"
"""


@contextmanager
def without_rights() -> Iterator[None]:
    """As somebody who is not root: the kernel checks file rights by the effective user (credentials(7))."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@functools.cache
def open_to_all() -> tuple[str, ...]:
    """What a command is to be run by so that anybody can run this Python, as where that is below /usr; the pid stays.

    Where it is below root's home, and closed to all others, what is run by this sees another /root, empty but for the
    Python, in a mount namespace of its own (mount_namespaces(7)). Skips the test where that cannot be.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can start something as another user")
    home = os.path.realpath(sys.executable)
    while not _lets_pass(os.path.dirname(home)):
        home = os.path.dirname(home)
    if _lets_pass(home):
        return ()
    installed = os.path.realpath(sys.base_prefix)
    before = ("unshare", "--mount", "sh", "-c", _SCRIPT, "sh", installed, home)
    try:
        subprocess.run([*before, "true"], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", error)
        pytest.skip(f"{home} is closed to all but root, and there are no mount namespaces here: {why}")
    return before


def _lets_pass(path: str) -> bool:
    with without_rights():
        return os.access(path, os.X_OK, effective_ids=True)
