"""Networks whose word is taken: the entries of `accept_proxy`, and of `http.trust`."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import AfterValidator

from frontdoor.config.problem import once, show_value

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


Networks = Annotated[tuple[Annotated[str, AfterValidator(parse_network)], ...], AfterValidator(once)]
"""As an array of the config has them, each in its one form and once."""
