"""`[frontdoor] log_file`: a path beside the config, in a folder that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from frontdoor.config import ConfigError, load, parse

CONFIG = 'listen = ["127.0.0.1:0"]\nactive = "v1"\n[backends.v1]\ncommand = ["app"]\n[frontdoor]\n'


def config(tmp_path: Path, log_file: str) -> str:
    path = tmp_path / "config.toml"
    path.write_text(f'{CONFIG}log_file = "{log_file}"\n')
    return str(path)


def problem(path: str) -> str:
    with pytest.raises(ConfigError) as refused:
        load(path)
    (found,) = refused.value.problems
    assert (found.key, found.line) == ("frontdoor.log_file", 6)
    return found.message


def test_it_is_beside_the_config(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    assert load(config(tmp_path, "log/frontdoor.log")).frontdoor.log_file == f"{tmp_path}/log/frontdoor.log"
    assert load(config(tmp_path, "/dev/full")).frontdoor.log_file == "/dev/full"


@pytest.mark.parametrize("nothing", ["", "-"])
def test_stderr_is_no_file(tmp_path: Path, nothing: str) -> None:
    assert load(config(tmp_path, nothing)).frontdoor.log_file == ""


def test_what_cannot_be_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    assert problem(config(tmp_path, "folder/")) == '"folder/" is a folder: write the path of a file, or "" for stderr'
    assert problem(config(tmp_path, "folder")).startswith(f"{tmp_path}/folder is a folder: ")
    assert problem(config(tmp_path, "logs/x")).startswith(f"{tmp_path}/logs: there is no such folder; make it")
    assert problem(config(tmp_path, "file/x")) == f"{tmp_path}/file is not a folder"
    assert problem(config(tmp_path, "file/x/y")) == f"{tmp_path}/file/x is in a file, and not in a folder"


def test_a_text_that_was_kept_is_not_looked_at(tmp_path: Path) -> None:
    """After a crash the folder may be gone: that is no reason not to serve."""
    settings = parse(f'{CONFIG}log_file = "logs/x"\n', str(tmp_path / "config.toml"))
    assert settings.frontdoor.log_file == f"{tmp_path}/logs/x"
