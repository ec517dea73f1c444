"""Bytecode: what Python has compiled, for the next door process, where there is no ``.pyc`` file to find it in.

There is none where an installer does not compile, and the user that the door process runs as may not write beside the
sources; or where PYTHONDONTWRITEBYTECODE is set. Then each start compiles everything that it loads, for a second or two
of CPU. A first start may take that long; after a crash clients wait. So the door process leaves what it has compiled in
a memfd of the keeper's, and the next one finds it there.

What is found is what a ``.pyc`` file would have in it, and Python itself looks whether it is of this Python and of the
source as it is on disk now (PEP 552). The keeper never reads it, nor does the new door process in an upgrade, which is
how a door process is got rid of that somebody else has made his own.
"""

import marshal
import os
import struct
import sys
from binascii import crc32
from collections.abc import Mapping
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from importlib.util import MAGIC_NUMBER, cache_from_source
from types import CodeType
from typing import Any

from frontdoor.keeper.bytecode import VARIABLE

_HEAD = struct.Struct("<QI")
"""Size and CRC-32 of the rest. It is written last: nothing is read of what was not finished."""

_PYC = struct.Struct("<III")
"""Behind the magic number: flags, the source's time of change, its size (PEP 552)."""


class Bytecode:
    """Compiled code by the path of the ``.pyc`` file that it would be in."""

    def __init__(self, memory: int | None) -> None:
        """``memory``: the memfd; None: there is none."""
        self._memory = memory
        self.found: dict[str, bytes] = {}
        """From the process before this one. It is valid only if Python finds it so."""
        self.compiled: dict[str, bytes] = {}
        """By this process."""

    def __repr__(self) -> str:
        return f"<Bytecode: {len(self.found)} found, {len(self.compiled)} compiled>"

    @classmethod
    def inherited(cls, environ: Mapping[str, str]) -> "Bytecode":
        """The one that the keeper has for its door processes."""
        number = environ.get(VARIABLE, "")
        if not number.isdecimal():
            return cls(None)
        try:
            os.set_inheritable(int(number), False)
        except OSError:
            return cls(None)
        return cls(int(number))

    def find(self) -> None:
        """Take what the process before this one has left. What cannot be read is not there."""
        if self._memory is None:
            return
        try:
            size, checksum = _HEAD.unpack(os.pread(self._memory, _HEAD.size, 0))
            if size > os.fstat(self._memory).st_size:
                return
            data = os.pread(self._memory, size, _HEAD.size)
        except (OSError, struct.error):
            return
        if data and crc32(data) == checksum:
            self.found = marshal.loads(data)  # noqa: S302 - it is trusted as far as code is

    def install(self) -> None:
        """Have it used, and added to, by each import from now on."""

        class Loader(SourceLoader):
            bytecode = self

        hook = FileFinder.path_hook(
            (ExtensionFileLoader, EXTENSION_SUFFIXES),
            (Loader, SOURCE_SUFFIXES),
            (SourcelessFileLoader, BYTECODE_SUFFIXES),
        )
        sys.path_hooks.insert(0, hook)
        sys.path_importer_cache.clear()

    def leave(self) -> None:
        """Leave what was found and what was compiled for the next process. Without room for it, it compiles anew."""
        if self._memory is not None and self.compiled:
            data = marshal.dumps({**self.found, **self.compiled})
            try:
                os.ftruncate(self._memory, 0)
                _write(self._memory, data, _HEAD.size)
                _write(self._memory, _HEAD.pack(len(data), crc32(data)), 0)
            except OSError:
                pass  # ENOSPC, ENOMEM: a start takes longer then, and that is all
        self.found, self.compiled = {}, {}


class SourceLoader(SourceFileLoader):
    """Python's own, with a second place to look for ``.pyc`` files."""

    bytecode: Bytecode

    def path_stats(self, path: str) -> Mapping[str, Any]:
        """Python asks before it reads the source: a change right after that makes the bytecode invalid."""
        self._stats = super().path_stats(path)
        return self._stats

    def get_data(self, path: str) -> bytes:
        """The file, or what was found in its place. Raises OSError."""
        try:
            return super().get_data(path)
        except OSError:
            found = self.bytecode.found.get(path)
            if found is None:
                raise
            return found

    def source_to_code(  # type: ignore[override]  # the stubs take it for a static method
        self, data: Any, path: Any, **options: Any
    ) -> CodeType:
        """Compile. Raises SyntaxError, ValueError."""
        code: CodeType = super().source_to_code(data, path, **options)
        head = _PYC.pack(0, int(self._stats["mtime"]) & 0xFFFFFFFF, len(data) & 0xFFFFFFFF)
        self.bytecode.compiled[cache_from_source(path)] = MAGIC_NUMBER + head + marshal.dumps(code)
        return code


def _write(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written
