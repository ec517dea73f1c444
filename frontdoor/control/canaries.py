"""What a control request asks of a canary: its fields, and what they mean."""

from __future__ import annotations

from frontdoor.policy.canary import WAYS_TO_SHARE, Plan
from frontdoor.policy.share import parse_share

from .asked import Fields
from .operator import USAGE, Refused


def canary_plan(fields: Fields) -> Plan | None:
    """Return how the canary of a swap is to go, None if it has none. Raises :exc:`Refused`."""
    steps, every = fields.maybe_text("canary"), fields.maybe_number("every")
    by = fields.choice("by", WAYS_TO_SHARE, WAYS_TO_SHARE[0])
    if steps is None:
        for name in ("every", "by"):
            if name in fields:
                raise Refused(USAGE, f"{name} is of a canary, and there is none: say its share, canary")
        return None
    try:
        return Plan.parse(steps.split(","), every, by)
    except ValueError as error:
        raise Refused(USAGE, f"canary: {error}") from None


def canary_share(fields: Fields) -> int:
    """Return the share that the canary is to have, in parts of ``policy.share.WHOLE``. Raises :exc:`Refused`."""
    try:
        return parse_share(fields.text("share"))
    except ValueError as error:
        raise Refused(USAGE, f"share: {error}") from None
