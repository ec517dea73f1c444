import math
import os
from pathlib import Path

import pytest

from frontdoor.config import ConfigError, HttpSettings, changes, load, parse
from frontdoor.config.known import known_keys

HEAD = 'listen = ["127.0.0.1:8080"]\nactive = "v1"\nprotocol = "http"\nbackends."*".command = ["app"]\n'

SAMPLE = """\
[http]
trust = []
head_timeout = "10s"
body_timeout = "60s"
answer_timeout = "60s"
keepalive_timeout = "75s"
backend_keepalive = "30s"
max_head = "32KiB"
max_body = "never"
error_pages = ""
websocket_close = 0
access_log = ""
"""


def settings(text: str = "") -> HttpSettings:
    return parse(HEAD + text, "/srv/app/config.toml").doors["main"].http


def refusal(text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        parse(HEAD + text, "config.toml")
    return str(refused.value).splitlines()


def test_the_sample_names_every_key_at_its_default() -> None:
    assert settings(SAMPLE) == settings()
    assert [line.split(" ")[0] for line in SAMPLE.splitlines()[1:]] == list(known_keys()["http",])


def test_the_defaults() -> None:
    http = settings()
    assert (http.head_timeout, http.body_timeout, http.answer_timeout) == (10, 60, 60)
    assert (http.keepalive_timeout, http.backend_keepalive) == (75, 30)
    assert (http.max_head, http.max_body, http.websocket_close) == (32768, math.inf, 0)
    assert (http.trust, http.error_pages, http.access_log) == ((), "", "")


def test_what_is_written_holds() -> None:
    http = settings(
        'http = { trust = ["10.0.0.1", "::1/128"], max_body = "10MiB", max_head = "4KiB", websocket_close = 1012, '
        'head_timeout = "never", backend_keepalive = "0s", error_pages = "pages", access_log = "log/../access.log" }'
    )
    assert (http.trust, http.max_body, http.max_head) == (("10.0.0.1/32", "::1/128"), 10 << 20, 4096)
    assert (http.websocket_close, http.head_timeout, http.backend_keepalive) == (1012, math.inf, 0)
    assert (http.error_pages, http.access_log) == ("/srv/app/pages", "/srv/app/access.log")
    assert settings('http.access_log = "-"').access_log == "-", "that is no file"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("head_timeout = 10", 'head_timeout: a duration is a string with a unit: write "10s"'),
        ('answer_timeout = "0s"', 'answer_timeout: must be longer than 0; write "never" for no limit'),
        (
            'max_head = "never"',
            ('max_head: "never" is not a size: write a whole number and a unit, as "512B", "64KiB", "10MiB" or "1GiB"'),
        ),
        ('max_head = "512B"', "max_head: must be between 1KiB and 1MiB, not 512B"),
        ('max_head = "2MiB"', "max_head: must be between 1KiB and 1MiB, not 2MiB"),
        ('max_body = "10MB"', 'max_body: "10MB" is not a size: write "10MiB"'),
        ("max_body = 65536", 'max_body: a size is a string with a unit: write "64KiB"'),
        (
            "websocket_close = 999",
            (
                "websocket_close: 999 is no code that a WebSocket is closed with: write 1012 (the "
                "service restarts), another one from 1000 to 4999, or 0 for a plain end of the connection"
            ),
        ),
        (
            "websocket_close = 1006",
            (
                "websocket_close: 1006 is a code that no WebSocket is ever closed with "
                "(RFC 6455, 7.4.1): write 1012, for one"
            ),
        ),
        (
            'websocket_close = "1012"',
            ("websocket_close: must be a whole number, not a string: write 1012, without quotes"),
        ),
        ('trust = "10.0.0.0/8"', 'trust: must be an array, not a string: write ["10.0.0.0/8"]'),
        (
            'trust = ["10.0.0.1/8"]',
            (
                'trust: "10.0.0.1/8" has bits behind its prefix: write "10.0.0.0/8" for the '
                'network, or "10.0.0.1" for the one address'
            ),
        ),
        ('trust = ["::1", "::1/128"]', 'trust: "::1/128" is there twice'),
        ('access_log = "log/"', 'access_log: "log/" is a folder: write the path of a file, or "-" for stderr'),
        (
            'access_log = "a\\u0000b"',
            ('access_log: "a\\u0000b" has a NUL character, which no path and no argument can hold'),
        ),
        ('acess_log = "-"', "acess_log: unknown key; the nearest known one is http.access_log"),
    ],
)
def test_what_is_wrong_is_named_with_its_key_and_its_line(text: str, problem: str) -> None:
    assert refusal(f"[http]\n{text}") == [f"config.toml:6: http.{problem}"]


def test_every_mistake_is_told_at_once() -> None:
    assert len(refusal("[http]\nmax_head = 5\nmax_body = true\ntrust = [5]\nkeepalive_timeout = '-1s'")) == 4


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("http.max_body = '1MiB'\nhttp.trust = ['::1']", ["http.trust", "http.max_body"]),
        ("[http]\nhead_timeout = '10000ms'", []),
        ("canary.sticky = 'cookie'", ["canary.sticky"]),
    ],
)
def test_what_a_reload_changes_is_named(text: str, keys: list[str]) -> None:
    old, new = parse(HEAD, "config.toml"), parse(HEAD + text, "config.toml")
    assert changes(old, new) == changes(new, old) == keys


def test_another_protocol_is_a_change() -> None:
    old, new = parse(HEAD.replace('"http"', '"tcp"'), "config.toml"), parse(HEAD, "config.toml")
    assert changes(old, new) == ["protocol"]


# -- error pages: read with the file ---------------------------------------------------------------------------------


def written(folder: Path, more: str) -> str:
    (folder / "config.toml").write_text(HEAD + more)
    return str(folder / "config.toml")


def test_a_folder_of_pages_is_looked_at_when_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "503.html").write_text("<h1>{status}</h1>")
    path = written(tmp_path, "[http]\nerror_pages = 'pages'")
    assert load(path).doors["main"].http.error_pages == str(tmp_path / "pages")


@pytest.mark.parametrize(
    ("pages", "problem"),
    [
        ("none", "{path}: there is no such folder"),
        ("file", "{path} is not a folder: the pages stand in one, as 502.html and 503.html"),
    ],
)
def test_one_that_cannot_be_read_is_an_error_of_its_key(tmp_path: Path, pages: str, problem: str) -> None:
    (tmp_path / "file").touch()
    path = written(tmp_path, f"[http]\nmax_head = '8KiB'\nerror_pages = '{pages}'")
    with pytest.raises(ConfigError) as refused:
        load(path)
    assert str(refused.value) == f"{path}:7: http.error_pages: {problem.format(path=tmp_path / pages)}"


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        ("404.html", "404.html: frontdoor answers with none of these but 400, 408, "),
        ("503.html", "503.html is not a file"),
    ],
)
def test_a_page_that_is_none_is_an_error_too_and_holds_up_nobody(tmp_path: Path, page: str, problem: str) -> None:
    os.mkfifo(tmp_path / page)
    path = written(tmp_path, "[http]\nerror_pages = '.'")
    with pytest.raises(ConfigError) as refused:
        load(path)
    assert str(refused.value).startswith(f"{path}:6: http.error_pages: {problem}")


def test_a_text_that_was_kept_is_read_though_its_pages_are_gone() -> None:
    assert settings("http.error_pages = 'gone'").error_pages == "/srv/app/gone"
