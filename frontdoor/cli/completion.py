"""``frontdoor completion SHELL``: the script by which a shell completes our commands."""

from __future__ import annotations

import click

from frontdoor.cli.call import json_option
from frontdoor.cli.output import result, result_json

VARIABLE = "_FRONTDOOR_COMPLETE"  # as click derives it from the command's name


# click keeps the lines of a paragraph as they are if it begins with a backspace.
_WHERE = """\b
bash: eval "$(frontdoor completion bash)"    in ~/.bashrc
zsh:  eval "$(frontdoor completion zsh)"     in ~/.zshrc, after compinit
fish: frontdoor completion fish | source     in ~/.config/fish/config.fish
"""


@click.command(epilog=_WHERE)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
@click.pass_context
def completion(ctx: click.Context, shell: str, json: bool) -> int:
    """Print the script that completes commands, options, and the versions of the running frontdoor."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(ctx.find_root().command, {}, "frontdoor", VARIABLE).source()
    if json:
        result_json({"shell": shell, "script": script})
    else:
        result(script)
    return 0
