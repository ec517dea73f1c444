import json
import re
import tomllib
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.config.lines import Lines
from frontdoor.config.problem import Path

DOCUMENT = '''\
# a comment with [brackets] and "quotes"
listen = [
  "127.0.0.1:8080",  # ] is no end here
  "unix:a,b]c",
]
active = "v1"
[backends."*"]
command = ["a", "b"]
env = { A = "x", B.C = 'y' }
[ backends . 'v 2' ]
cwd = """
[not.a.header]
end""""
date = 1979-05-27 07:32:00
stop_timeout = "5s"
[drain.deep.deeper]
x = 1
[drain]
timeout = "1h"
swap.bake = "0s"
[[door]]
name = "a"
[[door]]
name = "b"
[door.ready]
check = "connect"
[doors.api.backends."*"]
command = ["a"]
[doors.api]
listen = ["a:1",
  "b:2"]
[doors]
web = { active = "v1", drain.timeout = "1h" }
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("listen",), 2),
        (("listen", 0), 3),
        (("listen", 1), 4),
        (("active",), 6),
        (("backends",), 7),
        (("backends", "*"), 7),
        (("backends", "*", "command", 1), 8),
        (("backends", "*", "env", "B", "C"), 9),
        (("backends", "v 2"), 10),
        (("backends", "v 2", "cwd"), 11),
        (("backends", "v 2", "stop_timeout"), 15),
        (("drain",), 18),
        (("drain", "deep"), 16),
        (("drain", "swap", "bake"), 20),
        (("door", 0, "name"), 22),
        (("door", 1), 23),
        (("door", 1, "ready", "check"), 26),
        (("doors", "api", "backends", "*", "command"), 28),
        (("doors", "api"), 29),
        (("doors", "api", "listen", 1), 31),
        (("doors", "web", "drain", "timeout"), 33),
        # what is not there: the nearest parent
        (("drain", "close_over"), 18),
        (("listen", 7), 2),
        (("doors", "api", "active"), 29),
        (("doors", "web", "listen"), 33),
        (("nothing",), None),
        ((), None),
    ],
)
def test_a_key_is_found_on_its_line(path: Path, line: int | None) -> None:
    assert Lines(DOCUMENT).find(path) == line


def test_line_ends_of_windows_count_once() -> None:
    assert Lines('a = 1\r\n\r\nb = """x\r\ny"""\r\nc = 2\r\n').find(("c",)) == 5


def test_a_text_that_is_not_toml_gives_what_stands_before_the_mistake() -> None:
    lines = Lines("a = 1\nb = [1, 2\nc = 3\n")
    assert (lines.find(("a",)), lines.find(("b",)), lines.find(("c",))) == (1, 2, None)


@given(st.text() | st.text(alphabet="[]{}\"'=.,# \n\\ab1"))
def test_no_text_is_too_odd(text: str) -> None:
    Lines(text).find(("a", 0, "b"))


BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
# DEL is left out: JSON, which writes these keys, does not escape it, and TOML wants it escaped.
characters = st.characters(exclude_categories=["Cs", "Cc"])
keys = st.text("abz-_19", min_size=1, max_size=4) | st.text(characters | st.sampled_from(".\"'#=[]\n\t\\"), max_size=6)
scalars = (
    st.integers(-(10**6), 10**6)
    | st.booleans()
    | st.dates()
    | st.text(characters | st.sampled_from("\"'#=[]{},\n\\"), max_size=12)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@dataclass
class Writer:
    """Writes a tree as TOML in one of the many ways there are, and remembers on which line each thing began."""

    draw: Any
    text: str = ""
    lines: dict[Path, int] = field(default_factory=dict)

    def note(self, path: Path) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def maybe(self, *choices: str) -> None:
        self.text += self.draw(st.sampled_from(choices))

    def document(self, table: dict[str, Any], path: Path = ()) -> None:
        later = []
        for key, value in table.items():
            self.maybe("", "\n", "# [a] = \"'''\n", "  ")
            if isinstance(value, dict) and self.draw(st.booleans()):
                later.append((key, value))
            else:
                self.pair((*path, key), len(path), value)
                self.maybe("\n", ' # ] } "\n', "\r\n", "\n\n")
        for key, value in later:
            self.maybe("", "\n", "# x = 1\n")
            self.note((*path, key))
            dotted = [part for part in (*path, key) if isinstance(part, str)]
            self.text += f"[{self.dotted(dotted)}]"
            self.maybe("\n", " # [[y]]\n")
            self.document(value, (*path, key))

    def pair(self, path: Path, depth: int, value: Any) -> None:
        while isinstance(value, dict) and len(value) == 1 and self.draw(st.booleans()):
            ((key, value),) = value.items()  # a = { b = 1 } may be written a.b = 1
            self.note(path)
            path = (*path, key)
        self.note(path)
        self.text += self.dotted([part for part in path[depth:] if isinstance(part, str)])
        self.maybe("=", " = ", "\t=  ")
        self.value(path, value)

    def dotted(self, parts: list[str]) -> str:
        dot: str = self.draw(st.sampled_from([".", " . "]))
        return dot.join(self.key(part) for part in parts)

    def key(self, key: str) -> str:
        if BARE.match(key) and self.draw(st.booleans()):
            return key
        literal = "'" not in key and "\n" not in key and self.draw(st.booleans())
        return f"'{key}'" if literal else json.dumps(key, ensure_ascii=False)

    def value(self, path: Path, value: Any) -> None:
        if isinstance(value, dict):
            self.text += "{"
            for index, (key, child) in enumerate(value.items()):
                self.text += ", " if index else " "
                self.pair((*path, key), len(path), child)
            self.text += "}"
        elif isinstance(value, list):
            self.text += "["
            for index, child in enumerate(value):
                self.maybe("", " ", "\n", " # ]\n\n")
                self.note((*path, index))
                self.value((*path, index), child)
                self.maybe("", "\n")
                self.text += "," if index < len(value) - 1 else ""
            self.maybe("", "\n", ",\n" if value else "\n")
            self.text += "]"
        elif isinstance(value, str):
            self.string(value)
        else:
            self.text += json.dumps(value) if isinstance(value, bool | int) else value.isoformat()

    def string(self, value: str) -> None:
        basic = json.dumps(value, ensure_ascii=False)
        forms = [basic]
        if "'" not in value:
            forms += [f"'''\n{value}'''"] + ([f"'{value}'"] if "\n" not in value else [])
        if not value.endswith('"') and '"""' not in value:
            forms.append('"""\n' + value.replace("\\", "\\\\") + '"""')
        self.maybe(*forms)


@given(st.dictionaries(keys, values, max_size=6), st.data())
def test_every_key_and_item_of_any_document_is_found(tree: dict[str, Any], data: st.DataObject) -> None:
    writer = Writer(data.draw)
    writer.document(tree)
    assert tomllib.loads(writer.text) == tree  # what was written is TOML, and this tree
    lines = Lines(writer.text)
    assert {path: lines.find(path) for path in writer.lines} == writer.lines
