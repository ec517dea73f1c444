"""`[frontdoor] admin` and `admin_hosts`."""

import pytest

from frontdoor.config import ConfigError, FrontdoorSettings, parse

HEAD = 'listen = ["127.0.0.1:8080"]\nactive = "v1"\nbackends."*".command = ["app"]\n[frontdoor]\n'


def settings(text: str) -> FrontdoorSettings:
    return parse(HEAD + text, "config.toml").frontdoor


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        settings(text)
    return str(refused.value)


@pytest.mark.parametrize(
    ("written", "is_"),
    [
        ("", ""),
        ("127.0.0.1:9900", "127.0.0.1:9900"),
        ("LocalHost:9900", "localhost:9900"),
        ("[0:0::1]:0", "[::1]:0"),
        ("0.0.0.0:80", "0.0.0.0:80"),
    ],
)
def test_where_it_may_be(written: str, is_: str) -> None:
    assert settings(f'admin = "{written}"').admin == is_


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("unix:admin.sock", '"unix:admin.sock": the control socket is a Unix socket already, this one is TCP: write'),
        ("systemd:admin", '"systemd:admin": sockets of systemd are for doors: write "127.0.0.1:9900"'),
        ("9900", '"9900" has no host: for every interface write "0.0.0.0:9900"'),
        ("::1:9900", '"::1:9900": an IPv6 address stands in brackets: write "[::1]:9900"'),
        ("localhost:99999", '"localhost:99999": the port must be a number from 0 to 65535'),
        ("127.0.0.1:8080", '"127.0.0.1:8080" is where the door main listens; choose another port'),
    ],
)
def test_where_it_may_not_be(written: str, problem: str) -> None:
    assert refusal(f'admin = "{written}"').startswith(f"config.toml:5: frontdoor.admin: {problem}")


def test_the_same_port_0_is_no_clash() -> None:
    text = HEAD.replace("8080", "0") + 'admin = "127.0.0.1:0"'
    assert parse(text, "config.toml").frontdoor.admin == "127.0.0.1:0"


@pytest.mark.parametrize(
    ("written", "is_"),
    [("Deploy.Example", "deploy.example"), ("10.0.0.7", "10.0.0.7"), ("[2001:DB8::0:1]", "2001:db8::1")],
)
def test_names_by_which_it_is_reached(written: str, is_: str) -> None:
    assert settings(f'admin_hosts = ["{written}"]').admin_hosts == (is_,)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ('"deploy.example:443"', '"deploy.example:443": leave the port out, any will do: write "deploy.example"'),
        ('"https://deploy.example"', '"https://deploy.example": write the name alone, "deploy.example"'),
        ('"*"', '"*" is not a host name: write "deploy.example"'),
        ('"*.example"', '"*.example" is not a host name: write "deploy.example"'),
        ('""', '"" is not a host name: write "deploy.example"'),
        ('"a b"', '"a b" is not a host name: write "deploy.example"'),
        ('"a.example", "A.example"', '"a.example" is there twice'),
    ],
)
def test_what_is_no_name(written: str, problem: str) -> None:
    assert refusal(f"admin_hosts = [{written}]") == f"config.toml:5: frontdoor.admin_hosts: {problem}"


@pytest.mark.parametrize("address", ["", "127.0.0.1:9900", "127.9.9.9:1", "[::1]:9900", "localhost:9900"])
def test_only_this_machine_reaches_it(address: str) -> None:
    assert settings(f'admin = "{address}"').warnings == ()


@pytest.mark.parametrize("address", ["0.0.0.0:9900", "[::]:9900", "10.0.0.7:9900", "deploy.example:9900"])
def test_others_reach_it_and_that_is_said(address: str) -> None:
    (warning,) = settings(f'admin = "{address}"').warnings
    assert warning.startswith(f"frontdoor.admin: {address} can be reached from other machines, and is not encrypted")
