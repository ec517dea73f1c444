"""What a terminal sends, as keys: one character each, or the name of a key that is none.

ECMA-48 control sequences as terminals have sent them since the VT220, and bracketed paste (xterm's ``CSI 200 ~``).
"""

from __future__ import annotations

import codecs
import re

from frontdoor.cli.screen.keys import PASTE

ESCAPE_WAIT = 0.05
"""Seconds after which an ESC that nothing has followed was the key itself."""

PASTED = 200
"""Characters of a pasted text that are kept."""

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[@-~]|[^\x1b\[O])")
_BEGUN = re.compile(r"\x1b(?:\[[0-?]{0,32}[ -/]{0,8}|O)?")  # what may yet become one
_BEGINS, _ENDS = "\x1b[200~", "\x1b[201~"

_NAMES = {
    "\r": "enter",
    "\n": "enter",
    "\t": "tab",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x0c": "ctrl-l",
    "\x04": "q",  # Ctrl-D, which leaves whatever reads a terminal
    "\x1b[Z": "backtab",
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1bOC": "right",
    "\x1bOD": "left",
}


class Input:
    """Bytes in, keys out. What has come in half is kept until its rest is there."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._pasting = False
        self._pasted = ""

    def __repr__(self) -> str:
        return f"<Input {self._rest!r}>"

    @property
    def doubtful(self) -> bool:
        """An ESC has come that may be a key, or the beginning of one: ask :meth:`decided` after ``ESCAPE_WAIT``."""
        return bool(self._rest) and not self._pasting

    def decided(self) -> list[str]:
        """Return the keys of what has come in half: its rest does not come any more."""
        alone, self._rest = self._rest == "\x1b", ""
        return ["escape"] if alone else []

    def keys(self, data: bytes) -> list[str]:
        """Return the keys that `data` completes. A sequence that means none of them is left out."""
        text = self._rest + self._decoder.decode(data)
        self._rest = ""
        found: list[str] = []
        at = 0
        while at < len(text):
            if self._pasting:
                at = self._paste(text, at, found)
            elif text[at] != "\x1b":
                key = _NAMES.get(text[at], text[at])
                found += [key] if key.isprintable() else []
                at += 1
            elif match := _SEQUENCE.match(text, at):
                self._pasting = match[0] == _BEGINS
                found += [_NAMES[match[0]]] if match[0] in _NAMES else []
                at = match.end()
            elif _BEGUN.fullmatch(text, at):
                self._rest = text[at:]
                break
            else:
                found.append("escape")
                at += 1
        return found

    def _paste(self, text: str, at: int, found: list[str]) -> int:
        """Take in what is pasted; returns where to go on."""
        end = text.find(_ENDS, at)
        if end < 0:
            # Its end may have come in half.
            keep = next((n for n in range(len(_ENDS) - 1, 0, -1) if text.endswith(_ENDS[:n], at)), 0)
            self._pasted = (self._pasted + text[at : len(text) - keep])[:PASTED]
            self._rest = text[len(text) - keep :]
            return len(text)
        whole = (self._pasted + text[at:end])[:PASTED]
        found.append(PASTE + "".join(char for char in whole if char.isprintable()))
        self._pasting, self._pasted = False, ""
        return end + len(_ENDS)
