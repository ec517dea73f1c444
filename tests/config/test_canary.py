import pytest

from frontdoor.config import CanarySettings, ConfigError, parse

HEAD = 'listen = ["127.0.0.1:8080"]\nactive = "v1"\nprotocol = "http"\nbackends."*".command = ["app"]\n'
SAMPLE = '[canary]\nsticky = ""\ncookie = "frontdoor_canary"\nheader = "X-Canary"\n'

RULE = "it has letters, digits and any of !#$%&'*+.^_`|~-, and is at most 100 characters long"


def settings(text: str) -> CanarySettings:
    return parse(HEAD + text, "config.toml").doors["main"].canary


def test_the_sample_is_the_default() -> None:
    assert settings(SAMPLE) == settings("") == CanarySettings()


@pytest.mark.parametrize("sticky", ["", "cookie", "header"])
def test_the_ways_to_stay_with_one_version(sticky: str) -> None:
    canary = settings(f"[canary]\nsticky = '{sticky}'\ncookie = 'shop.side'\nheader = 'X-Shop-Side'")
    assert (canary.sticky, canary.cookie, canary.header) == (sticky, "shop.side", "X-Shop-Side")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sticky = 'ip'", 'sticky: must be "", "cookie" or "header", not "ip"'),
        ("cookie = ''", f'cookie: "" cannot be the name of a cookie: {RULE}'),
        ("cookie = 'a=b'", f'cookie: "a=b" cannot be the name of a cookie: {RULE}'),
        ("cookie = 'a; Secure'", f'cookie: "a; Secure" cannot be the name of a cookie: {RULE}'),
        (
            "cookie = '__Host-side'",
            ('cookie: "__Host-side": browsers keep a cookie of such a name over https alone; choose another'),
        ),
        ("header = 'X Canary'", f'header: "X Canary" cannot be the name of a header: {RULE}'),
        ("header = 'X-Canary:'", f'header: "X-Canary:" cannot be the name of a header: {RULE}'),
        ("header = 'hOst'", 'header: "hOst" has another meaning already: choose a header of your own, as X-Canary'),
        ("stiky = ''", "stiky: unknown key; the nearest known one is canary.sticky"),
    ],
)
def test_what_is_wrong_is_named_with_its_key_and_its_line(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings(f"[canary]\n{text}")
    assert str(refused.value) == f"config.toml:6: canary.{problem}"
