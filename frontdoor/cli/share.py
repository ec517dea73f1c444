"""A canary's share of the new connections, as it is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    TextType = click.ParamType[str]
else:
    # Before click 8.2 it has no type arguments.
    TextType = click.ParamType

USUAL = ("1%", "5%", "25%", "50%", "100%")
ALL = "100%"
WAYS = ("stream", "address")  # those of policy.canary, which most calls need not import


class Share(TextType):
    """One share: its form is checked before anybody is asked."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it in its shortest form: "5%". Raises :exc:`click.UsageError`."""
        from frontdoor.policy.share import parse_share, show_share  # here: only a canary needs it

        try:
            return show_share(parse_share(value))
        except ValueError as error:
            raise click.UsageError(str(error), ctx) from None

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return some that are usual."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(share) for share in USUAL if share.startswith(incomplete)]


def canary_body(steps: str | None, every: float | None, by: str | None) -> dict[str, Any]:
    """Return the fields of a swap that say how its canary goes, {} without one, and how long to wait.

    Raises :exc:`click.UsageError`, in the same words as the API would refuse it.
    """
    if steps is None:
        for option, value in (("--every", every), ("--by", by)):
            if value is not None:
                raise click.UsageError(f"{option} is of a canary: say its share too, such as --canary 5%")
        return {"wait": "baked"}
    from frontdoor.policy.canary import Plan  # here: only a canary needs it

    try:
        plan = Plan.parse(steps.split(","), every, by or WAYS[0])
    except ValueError as error:
        raise click.UsageError(f"--canary: {error}") from None
    body: dict[str, Any] = {"canary": steps, "wait": "baked" if plan.complete else "shared"}
    body |= {} if every is None else {"every": every}
    return body if by is None else body | {"by": by}
