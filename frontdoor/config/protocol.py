"""What a door's protocol does not allow, looked for in the raw tables."""

from __future__ import annotations

from collections.abc import Iterator

from frontdoor.config.problem import Path

_STICKY = ("cookie", "header")


def protocol_faults(table: object, place: Path) -> Iterator[tuple[Path, str]]:
    """Find what the door at `place` asks for, and tcp cannot do."""
    if not isinstance(table, dict) or table.get("protocol", "tcp") != "tcp":
        return
    if "http" in table:
        why = 'the protocol of this door is "tcp": it passes bytes on and knows of no requests'
        yield (*place, "http"), f'{why}; write protocol = "http", or take this table out'
    canary = table.get("canary")
    sticky = canary.get("sticky") if isinstance(canary, dict) else None
    if sticky in _STICKY:
        why = f'the protocol of this door is "tcp": it passes bytes on and sees no {sticky}'
        yield (*place, "canary", "sticky"), f'{why}; write protocol = "http", or leave it at ""'
