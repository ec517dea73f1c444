"""What stands in the documents, as files: so the tests run what a reader copies, and the text cannot rot."""

import os
import re
import tomllib
from typing import Any

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

_BLOCK = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A block of code that says which file it is: the second word behind the fence, which no reader of the page sees."""


def read(path: str) -> str:
    """A file of the project's."""
    with open(os.path.join(ROOT, path)) as file:
        return file.read()


def printed_files(document: str) -> dict[str, str]:
    """Path → text of each file that is printed in a document."""
    return dict(_BLOCK.findall(read(document)))


def printed_config(document: str) -> dict[str, Any]:
    """The part of a config that is printed in it."""
    return tomllib.loads(printed_files(document)["config.toml"])


def install(document: str, folder: str, changes: dict[str, str] | None = None) -> None:
    """Write all programs of a document where they say that they belong.

    ``changes``: what is written otherwise, since a test has no minutes to wait. Each must be there exactly once.
    """
    for path, text in printed_files(document).items():
        if path != "config.toml":
            write_program(os.path.join(folder, path), changed(text, changes or {}))


def changed(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        if old in text:
            assert text.count(old) == 1, f"{old!r} is there more than once"
            text = text.replace(old, new)
    return text


def write_program(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o755)
