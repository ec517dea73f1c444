"""A virtual environment of its own for a frontdoor, which a test replaces, or deletes, under it."""

import os
import shutil
import sys
import sysconfig
import tempfile
import venv

import frontdoor

_OURS = ("frontdoor", "_editable_impl_frontdoor")


class Environment:
    """The environment: the libraries are links to those that the tests have, frontdoor is a copy."""

    def __init__(self, version: str) -> None:
        """``version``: of the frontdoor in it."""
        self.folder = tempfile.mkdtemp(prefix="fdvenv")
        self.path = os.path.join(self.folder, "venv")
        self._make(self.path, version)

    @property
    def python(self) -> str:
        """Its interpreter."""
        return os.path.join(self.path, "bin", "python")

    def replace(self, version: str) -> None:
        """Another one in its place, of which no file is the same."""
        new = self.path + ".new"
        self._make(new, version)
        self.delete()
        os.rename(new, self.path)

    def delete(self) -> None:
        """Nothing is left of it."""
        shutil.rmtree(self.path, ignore_errors=True)
        assert not os.path.exists(self.path)

    def close(self) -> None:
        """No test needs it any more."""
        shutil.rmtree(self.folder)

    @staticmethod
    def _make(path: str, version: str) -> None:
        venv.create(path, symlinks=True)
        theirs = sysconfig.get_path("purelib")
        libraries = os.path.join(path, os.path.relpath(theirs, sys.prefix))
        for name in os.listdir(theirs):
            if not name.startswith(_OURS) and not name.endswith(".pth"):
                os.symlink(os.path.join(theirs, name), os.path.join(libraries, name))
        ours = os.path.join(libraries, "frontdoor")
        shutil.copytree(os.path.dirname(os.path.abspath(frontdoor.__file__)), ours)
        with open(os.path.join(ours, "__init__.py"), "a") as file:
            file.write(f'\n__version__ = "{version}"\n')
