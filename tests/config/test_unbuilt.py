import json
from pathlib import Path

import pytest

from frontdoor.config import ConfigError, parse
from frontdoor.config.unbuilt import UNBUILT

SAMPLE = Path(__file__).with_name("sample.toml").read_text()
HEAD = 'listen = ["127.0.0.1:8080"]\nactive = "v1"\nbackends."*".command = ["app"]\n'

ASKED = {
    "protocol = 'http'": '4: protocol: is not built yet; leave it at its default ("tcp")',
    "accept_proxy = ['10.0.0.0/8']": "4: accept_proxy: is not built yet; leave it at its default ([])",
    "backends.v1.listen_fd = true": "4: backends.v1.listen_fd: is not built yet; leave it at its default (false)",
    "backends.'*'.proxy_protocol = 'v2'": (
        '4: backends."*".proxy_protocol: is not built yet; leave it at its default ("off")'
    ),
    "backends.v1.socket = 'x.sock'": '4: backends.v1.socket: is not built yet; leave it at its default ("")',
    "health.failures = 2": "4: health.failures: is not built yet; leave it at its default (3)",
    "[swap]\nbake = '10s'": '5: swap.bake: is not built yet; leave it at its default ("0s")',
    "[hooks]\nfailed = ['mail']": "5: hooks.failed: is not built yet; leave it at its default ([])",
    "[frontdoor]\nuser = 'www'": '5: frontdoor.user: is not built yet; leave it at its default ("")',
    # A value that is none is that first of all.
    "protocol = 'udp'": '4: protocol: must be "tcp" or "http", not "udp"',
    "swap.bake = 5": '4: swap.bake: a duration is a string with a unit: write "5s"',
    "hooks.failed = [5]": '4: hooks.failed: item 1 must be a string, not a whole number: write "5"',
}


def refusal(text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        parse(text, "config.toml")
    return str(refused.value).splitlines()


@pytest.mark.parametrize(("text", "problem"), ASKED.items())
def test_a_feature_that_is_not_built_is_refused_by_name(text: str, problem: str) -> None:
    assert refusal(HEAD + text) == [f"config.toml:{problem}"]


def test_a_default_in_other_words_is_the_default() -> None:
    parse(f"{HEAD}swap.bake = '0ms'\nswap.keep_warm = '900s'\nhooks.timeout = '30000ms'\n", "config.toml")


def test_every_default_that_is_named_is_the_samples() -> None:
    for path, default in UNBUILT.items():
        if path[-1] not in ("user", "group", "socket"):  # of backends: the sample has them in a comment only
            assert f"{path[-1]} = {json.dumps(default)}" in SAMPLE


def test_several_doors_are_refused_without_asking_for_the_keys_of_one() -> None:
    text = "[doors.web]\nlisten = ['127.0.0.1:8080']\n"
    problem = "doors: several doors are not built yet; describe one door with keys at the top level"
    assert refusal(text) == [f"config.toml:1: {problem}"]
    assert refusal(HEAD + text) == [f"config.toml:4: {problem}"]
