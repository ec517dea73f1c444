"""The command ``frontdoor``: finds the verb, and turns whatever goes wrong into one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from frontdoor import __version__
from frontdoor.cli.output import complain
from frontdoor.cli.start import INTERRUPTED
from frontdoor.control.dial import ControlError

USAGE = 2

# In the order of the contract's table. Each is the function of that name in its module.
VERBS = {
    "serve": "frontdoor.cli.serve",
    "swap": "frontdoor.cli.swap",
    "status": "frontdoor.cli.status",
    "streams": "frontdoor.cli.streams",
    "drain": "frontdoor.cli.drain",
    "events": "frontdoor.cli.events",
    "stop": "frontdoor.cli.stop",
    "check": "frontdoor.cli.check",
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
        command: click.Command = getattr(import_module(VERBS[cmd_name]), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that `args` begin with, or say which one may have been meant."""
        name = args[0]
        if not name.startswith("-") and name not in VERBS:
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
    try:
        result = verbs.main(
            args=None if arguments is None else list(arguments), prog_name="frontdoor", standalone_mode=False
        )
        sys.stdout.flush()
    except click.UsageError as error:
        complain(error.format_message() + _help_hint(error))
        return USAGE
    except click.ClickException as error:
        complain(error.format_message())
        return error.exit_code
    except ControlError as error:
        complain(str(error))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the results has read enough (`frontdoor events | head`). Python would try to write
        # the rest at exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        complain(str(error))
        return 1
    return result if isinstance(result, int) else 0


def _help_hint(error: click.UsageError) -> str:
    if error.ctx is None:
        return ""
    return f" (see {error.ctx.command_path} --help)"
