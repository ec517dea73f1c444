import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.config.networks import parse_network

FORMS = 'write "10.0.0.0/8" or "2001:db8::/32", or "10.0.0.1" for one address'


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("10.0.0.1", "10.0.0.1/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8:0::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
    ],
)
def test_a_network_has_one_form(text: str, network: str) -> None:
    assert parse_network(text) == parse_network(network) == network


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "10.0.0.1/8",
            (
                '"10.0.0.1/8" has bits behind its prefix: write "10.0.0.0/8" for the network, '
                'or "10.0.0.1" for the one address'
            ),
        ),
        (
            "fe80::1/64",
            (
                '"fe80::1/64" has bits behind its prefix: write "fe80::/64" for the network, '
                'or "fe80::1" for the one address'
            ),
        ),
        ("fe80::1%eth0", f'"fe80::1%eth0": a network has no zone; {FORMS}'),
        *((text, f'"{text}" is not a network: {FORMS}') for text in ("", "10", "localhost", "10.0.0.1:80", "::/129")),
        ("10.0.0.0/8/8", f'"10.0.0.0/8/8" is not a network: {FORMS}'),
    ],
)
def test_what_is_no_network_is_refused_with_what_to_write(text: str, message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole message is compared below
        parse_network(text)
    assert str(refused.value) == message


@given(st.text() | st.text(alphabet="0123456789abcdef.:/%") | st.ip_addresses().map(str))
def test_no_text_is_too_odd(text: str) -> None:
    try:
        network = parse_network(text)
    except ValueError as refused:
        assert "is not a network" in str(refused) or "write" in str(refused)  # noqa: PT017 - most texts are refused
    else:
        assert str(ipaddress.ip_network(network)) == network, "strictly a network, as the gate takes it"
