import pytest

from frontdoor.config import ConfigError, parse

HEAD = 'listen = ["127.0.0.1:8080"]\nactive = "v1"\nbackends."*".command = ["app"]\n'
API = '[doors.api]\nlisten = ["127.0.0.1:81"]\nactive = "v1"\nbackends.v1.command = ["app"]\n'

NO_REQUESTS = (
    'http: the protocol of this door is "tcp": it passes bytes on and knows of no requests; '
    'write protocol = "http", or take this table out'
)


def refusal(text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        parse(text, "config.toml")
    return str(refused.value).splitlines()


def sees_no(what: str) -> str:
    return (
        f'canary.sticky: the protocol of this door is "tcp": it passes bytes on and sees no {what}; '
        'write protocol = "http", or leave it at ""'
    )


@pytest.mark.parametrize("protocol", ["", 'protocol = "tcp"\n'])
@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("[http]", [NO_REQUESTS]),
        ("[canary]\nsticky = 'cookie'", [sees_no("cookie")]),
        ("[canary]\nsticky = 'header'", [sees_no("header")]),
    ],
)
def test_what_tcp_cannot_do_is_refused_and_why_is_said(protocol: str, text: str, problems: list[str]) -> None:
    line = HEAD.count("\n") + protocol.count("\n") + len(text.splitlines())
    assert refusal(HEAD + protocol + text) == [f"config.toml:{line}: {problem}" for problem in problems]


def test_the_door_is_named() -> None:
    assert refusal(f'{HEAD}{API}[doors.api.http]\nmax_head = "8KiB"') == [f"config.toml:8: doors.api.{NO_REQUESTS}"]


def test_a_slip_in_the_table_is_told_beside_it() -> None:
    assert [line.split(": ")[1] for line in refusal(f"{HEAD}[http]\nmax_head = 5")] == ["http", "http.max_head"]


@pytest.mark.parametrize("text", ["[canary]", "[canary]\nsticky = ''\ncookie = 'side'", 'protocol = "http"\n[http]'])
def test_what_says_nothing_of_requests_may_stand_there(text: str) -> None:
    parse(HEAD + text, "config.toml")


def test_a_protocol_that_is_none_is_the_only_mistake() -> None:
    assert refusal(f'{HEAD}protocol = "htpp"\n[http]') == [
        'config.toml:4: protocol: must be "tcp" or "http", not "htpp"'
    ]
