import json
from pathlib import Path

import pytest

from frontdoor.config import ConfigError, parse
from frontdoor.config.unbuilt import UNBUILT

SAMPLE = Path(__file__).with_name("sample.toml").read_text()
HEAD = 'listen = ["127.0.0.1:8080"]\nactive = "v1"\nbackends."*".command = ["app"]\n'

ASKED = {
    "[frontdoor]\nadmin = '127.0.0.1:1'": '5: frontdoor.admin: is not built yet; leave it at its default ("")',
    # A value that is none is that first of all.
    "frontdoor.admin = 5": '4: frontdoor.admin: must be a string, not a whole number: write "5"',
}


def refusal(text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        parse(text, "config.toml")
    return str(refused.value).splitlines()


@pytest.mark.parametrize(("text", "problem"), ASKED.items())
def test_a_feature_that_is_not_built_is_refused_by_name(text: str, problem: str) -> None:
    assert refusal(HEAD + text) == [f"config.toml:{problem}"]


def test_every_default_that_is_named_is_the_samples() -> None:
    for path, default in UNBUILT.items():
        assert f"{path[-1]} = {json.dumps(default)}" in SAMPLE
