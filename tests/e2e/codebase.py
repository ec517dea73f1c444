"""A copy of frontdoor's code that a test changes under a running frontdoor, as installing a new version does."""

import os
import re
import shutil
import tempfile
from collections.abc import Callable

import frontdoor

_PACKAGE = os.path.dirname(os.path.abspath(frontdoor.__file__))


class Codebase:
    """The copy. A frontdoor that is started with ``PYTHONPATH=path`` runs it."""

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix="fdcode")
        shutil.copytree(_PACKAGE, os.path.join(self.path, "frontdoor"))  # compiled modules too: it starts at once
        self._before: dict[str, str] = {}

    def change(self, module: str, change: Callable[[str], str]) -> None:
        """Write another text into that module, "door/restore.py"."""
        path = os.path.join(self.path, "frontdoor", module)
        with open(path) as file:
            text = file.read()
        self._before.setdefault(module, text)
        changed = change(text)
        assert changed != text, f"{module} has nothing of the kind"
        with open(path + ".new", "w") as file:
            file.write(changed)
        os.rename(path + ".new", path)

    def replace(self, module: str, old: str, new: str) -> None:
        """Put `new` in the place of the pattern `old`, which is there once."""
        assert len(re.findall(old, _read(os.path.join(self.path, "frontdoor", module)))) == 1, (module, old)
        self.change(module, lambda text: re.sub(old, new, text))

    def begin_with(self, module: str, code: str) -> None:
        """Let that be done when the module is imported, before anything else."""
        self.change(module, lambda text: re.sub(r"^(?=import |from )", f"{code}\n", text, count=1, flags=re.MULTILINE))

    def end_with(self, module: str, code: str) -> None:
        """Put that behind all that is in the module."""
        self.change(module, lambda text: f"{text}\n\n{code}\n")

    def mend(self) -> None:
        """All is as it was."""
        for module, text in self._before.items():
            with open(os.path.join(self.path, "frontdoor", module), "w") as file:
                file.write(text)
        self._before.clear()

    def close(self) -> None:
        shutil.rmtree(self.path)


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()
