"""Networks whose word is taken: the entries of `accept_proxy`."""

from __future__ import annotations

import ipaddress

from frontdoor.config.problem import show_value

_FORMS = 'write "10.0.0.0/8" or "2001:db8::/32", or "10.0.0.1" for one address'


def parse_network(text: str) -> str:
    """Bring a network into its one form: "10.0.0.0/8"; an address alone is the network "10.0.0.1/32".

    Raises ValueError, in the user's words. An address with bits behind its prefix is refused: "10.0.0.1/8" may have
    been meant as one machine or as sixteen million of them, and it is about whom to believe.
    """
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{show_value(text)} is not a network: {_FORMS}") from None
    if "%" in text:
        raise ValueError(f"{show_value(text)}: a network has no zone; {_FORMS}")
    address = ipaddress.ip_address(text.partition("/")[0])
    if address != network.network_address:
        raise ValueError(
            f'{show_value(text)} has bits behind its prefix: write "{network}" for the network, '
            f'or "{address}" for the one address'
        )
    return str(network)
