"""Where the control API is offered over TCP: `[frontdoor] admin`, and the names by which it is reached."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import AfterValidator

from frontdoor.config.addresses import is_host_name, parse_address
from frontdoor.config.problem import Path, once, show_value

_FORMS = 'write "127.0.0.1:9900", or "[::1]:9900"'


def parse_admin(text: str) -> str:
    """Bring the address into its one form, "host:port" or "[::1]:9900"; "" is none.

    Raises ValueError, in the user's words.
    """
    if not text:
        return text
    if text.startswith("unix:"):
        raise ValueError(f"{show_value(text)}: the control socket is a Unix socket already, this one is TCP: {_FORMS}")
    if text.startswith("systemd:"):
        raise ValueError(f"{show_value(text)}: sockets of systemd are for doors: {_FORMS}")
    return parse_address(text, "/")


def parse_own_host(text: str) -> str:
    """Bring a name, or an address, by which admin is reached into its one form. Raises ValueError."""
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    if is_host_name(text) and not text.endswith("."):
        return text.lower()
    if "://" in text or "/" in text:
        raise ValueError(f'{show_value(text)}: write the name alone, "deploy.example"')
    if ":" in text:
        raise ValueError(f'{show_value(text)}: leave the port out, any will do: write "deploy.example"')
    raise ValueError(f'{show_value(text)} is not a host name: write "deploy.example"')


Admin = Annotated[str, AfterValidator(parse_admin)]
OwnHosts = Annotated[tuple[Annotated[str, AfterValidator(parse_own_host)], ...], AfterValidator(once)]


def warning(admin: str) -> str:
    """Say what is dangerous about that address; "" for one that only this machine can reach."""
    host = admin.rpartition(":")[0].strip("[]")
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host in ("", "localhost")
    if local:
        return ""
    return (
        f"{admin} can be reached from other machines, and is not encrypted: whoever gets there can read everything "
        "without a token, and whoever listens on the way learns the token; listen on 127.0.0.1, and let others in "
        "by a TLS proxy or an ssh tunnel"
    )


def admin_faults(raw: object, listening: Iterable[tuple[str, str]]) -> Iterator[tuple[Path, str]]:
    """Find an address that a door has already.

    `raw`: the table `frontdoor`; `listening`: addresses, each with the name of the door that listens there.
    """
    admin = raw.get("admin") if isinstance(raw, dict) else None
    try:
        address = parse_admin(admin) if isinstance(admin, str) else ""
    except ValueError:
        return  # that is what is wrong, and is said elsewhere
    for taken, door in listening:
        if address and address == taken and not address.endswith(":0"):
            text = f"{show_value(address)} is where the door {door} listens; choose another port"
            yield ("frontdoor", "admin"), text
            return
