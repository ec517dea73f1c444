import subprocess
import sys
from pathlib import Path

import pytest

from frontdoor.config import load
from frontdoor.config.runtime import runtime_dir

HEAD = 'listen = ["127.0.0.1:8080"]\nactive = "v1"\nbackends."*".command = ["app"]\n'


@pytest.mark.parametrize(
    ("text", "variable", "folder"),
    [
        ("", "", "{here}/run"),
        ("", "/run/frontdoor", "/run/frontdoor"),
        ("", "/run/a:/run/b", "/run/a"),
        ("[frontdoor]\nruntime_dir = 'r/../s'", "/run/frontdoor", "{here}/s"),
        ("[frontdoor]\nruntime_dir = '/tmp/r'", "", "/tmp/r"),
        ("[frontdoor]\nruntime_dir = ''", "", "{here}/run"),
    ],
)
def test_the_command_line_looks_where_serve_is(
    text: str, variable: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", variable)
    path = tmp_path / "config.toml"
    path.write_text(HEAD + text)
    assert runtime_dir(str(path)) == load(str(path)).frontdoor.runtime_dir == folder.format(here=tmp_path)


def test_a_config_with_mistakes_elsewhere_still_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    path = tmp_path / "config.toml"
    path.write_text("[frontdoor]\nruntime_dir = 5\nnonsense = 1\n")
    assert runtime_dir(str(path)) == str(tmp_path / "run")
    path.write_text("frontdoor = 5")
    assert runtime_dir(str(path)) == str(tmp_path / "run")


def test_what_cannot_be_read_is_an_oserror_and_what_is_not_toml_a_valueerror(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    with pytest.raises(FileNotFoundError):
        runtime_dir(str(path))
    for data in (b"a =", b"\xff", b"a = " + b"[" * 5000, b"a = " + b"9" * 5000):
        path.write_bytes(data)
        with pytest.raises(ValueError):  # noqa: PT011 - the words are those of whoever found it
            runtime_dir(str(path))


def test_it_costs_the_command_line_no_heavy_import() -> None:
    code = (
        "import sys; before = set(sys.modules); import frontdoor.config.runtime; "
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["frontdoor"]
