from __future__ import annotations

import os
import socket
import sys

import pytest

from cli.shell import Shell
from frontdoor.cli.main import main
from frontdoor.control.dial import NotAllowed, connect
from nobody import without_rights


def test_serve_becomes_the_keeper(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[object] = []
    monkeypatch.setattr(os, "execv", lambda *arguments: became.append(arguments))
    monkeypatch.chdir(shell.folder)
    shell.write_config()
    assert main(["serve", "config.toml"]) == 0
    config = os.path.join(os.getcwd(), "config.toml")
    assert became == [(sys.executable, [sys.executable, "-P", "-m", "frontdoor.keeper", config])]


def test_serve_logs_json_on_request(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[str | None] = []
    monkeypatch.setattr(os, "execv", lambda *arguments: became.append(os.environ.get("FRONTDOOR_LOG_FORMAT")))
    monkeypatch.setenv("FRONTDOOR_LOG_FORMAT", "console")
    monkeypatch.chdir(shell.folder)
    shell.write_config()
    assert main(["serve", "config.toml"]) == 0
    assert main(["serve", "config.toml", "--json"]) == 0
    assert became == ["console", "json"]


def test_another_users_socket(shell: Shell) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{shell.folder}/s")
        listener.listen()
        os.chmod(f"{shell.folder}/s", 0)
        with without_rights(), pytest.raises(NotAllowed, match="another user"):
            connect(f"{shell.folder}/s")
