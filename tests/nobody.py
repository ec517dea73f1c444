"""Tests of what a user without rights sees, run by root as in CI, or by such a user."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


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
