"""The command ``frontdoor``: finds the verb, and turns whatever goes wrong into one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import click

from frontdoor import __version__
from frontdoor.cli.output import complain, outcome_json
from frontdoor.cli.start import INTERRUPTED
from frontdoor.control.dial import ControlError, Refused

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

FAILED = 1
USAGE = 2

# In the order of the contract's table, with what each does in a few words: said here, so that neither the help nor a
# shell that completes has to import them all. Each is the function of that name in the module of that name.
VERBS = {
    "serve": "Start, and serve the active version.",
    "swap": "Move new connections to another version.",
    "canary": "Give the canary another share of the new connections.",
    "promote": "Give the canary all new connections.",
    "rollback": "Go back to the previous generation.",
    "restart": "Swap to a new generation of the active version.",
    "reload": "Read the config again: all of it or nothing.",
    "upgrade": "Replace frontdoor's own code; streams go on.",
    "status": "Show what is active, draining, warm, failed.",
    "top": "Watch it live, and change it with a key.",
    "report": "Show what happened in a swap.",
    "streams": "Show the open streams, the oldest first.",
    "drain": "Close a draining generation's streams.",
    "pause": "Stop accepting: clients wait.",
    "resume": "Accept again.",
    "maintenance": "Answer requests with 503, stop nothing.",
    "logs": "Print what the backends print; -f follows.",
    "events": "Print what happened; -f follows.",
    "stop": "Stop gracefully; --now at once.",
    "check": "Validate a config, start nothing.",
    "completion": "Print the completion script of a shell.",
}


class Verbs(click.Group):
    """The verbs, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the contract."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb `cmd_name`."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(import_module(f"frontdoor.cli.{cmd_name}"), cmd_name)
        command.short_help = VERBS[cmd_name]
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the verbs that begin like that, without importing them, and the options."""
        from click.shell_completion import CompletionItem

        verbs = [CompletionItem(name, help=does) for name, does in VERBS.items() if name.startswith(incomplete)]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that `args` begin with, or say which one may have been meant."""
        name = args[0]
        if not (name.startswith("-") or name in VERBS or ctx.resilient_parsing):
            import difflib  # here: ten milliseconds that only a misspelt verb needs

            near = difflib.get_close_matches(name, VERBS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(VERBS)}"
            raise click.UsageError(f"there is no command {name!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=Verbs,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="frontdoor", message="%(prog)s %(version)s")
def verbs() -> None:
    """Hold the public port, and swap the app behind it without cutting a connection.

    `frontdoor serve config.toml` in one terminal, `frontdoor swap v2` in another.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code of the contract."""
    for stream in (sys.stdout, sys.stderr):
        # An arrow in a locale that has none is no reason to fail. (A closed stream is None.)
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    typed = list(sys.argv[1:] if arguments is None else arguments)
    try:
        result = verbs.main(args=list(typed), prog_name="frontdoor", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        return _failed(typed, error.format_message() + _help_hint(error), USAGE)
    except click.ClickException as error:
        return _failed(typed, error.format_message(), error.exit_code)
    except Refused as error:
        return _failed(typed, str(error), error.exit_code, error.answer)
    except ControlError as error:
        return _failed(typed, str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the results has read enough (`frontdoor events | head`). Python would try to write
        # the rest at exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        return _failed(typed, str(error), FAILED)
    return result if isinstance(result, int) else 0


def _failed(typed: list[str], message: str, exit_code: int, answer: Mapping[str, object] | None = None) -> int:
    """Say why; returns `exit_code`. With ``--json`` it is the result, too: that of the API, where it has said more."""
    # Not asked of click: it may be the command line itself that is wrong.
    if "--json" in typed:
        outcome_json(answer or {"error": message, "exit_code": exit_code})
    complain(message)
    return exit_code


def _help_hint(error: click.UsageError) -> str:
    if error.ctx is None:
        return ""
    return f" (see {error.ctx.command_path} --help)"
