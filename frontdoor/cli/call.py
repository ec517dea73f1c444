"""The options that every verb has, and what they lead to: the control socket and the door."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import click

from frontdoor.control.dial import NotAllowed, NotRunning, connect

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from frontdoor.control.client import Client

    TextType = click.ParamType[str]
    SecondsType = click.ParamType[float]
else:
    # Before click 8.2 it has no type arguments.
    TextType = SecondsType = click.ParamType

P = ParamSpec("P")

SOCKET = "control.sock"
ONLY_DOOR = "-"  # how the API is asked for "the only one"
DEFAULT_RUNTIME_DIR = "run"
SYSTEM_SOCKET = "/run/frontdoor/control.sock"

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}(#[1-9][0-9]{0,17})?")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


json_option = click.option("--json", is_flag=True, help="Print machine-readable JSON.")


@dataclass(frozen=True)
class Call:
    """What the common options say."""

    control: str | None
    config: str | None
    door: str | None
    json: bool

    def client(self) -> Client:
        """Return a client of the frontdoor that is meant. Raises :exc:`ControlError`."""
        path = find_socket(self.control, self.config)
        # Only now: to say that nothing runs, no HTTP library is needed.
        from frontdoor.control.client import Client

        return Client(path)

    def door_path(self, call: str) -> str:
        """Return the path of one of a door's calls."""
        from urllib.parse import quote  # here: nobody needs it to learn that nothing is running

        return f"/v1/doors/{quote(self.door or ONLY_DOOR, safe='')}/{call}"


def _door_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from frontdoor.cli.candidates import door_names  # here: only a shell that completes needs it

    return door_names(ctx, incomplete)


def control_verb(function: Callable[Concatenate[Call, P], int | None]) -> Callable[P, int | None]:
    """Give a verb the common options, as a :class:`Call` in its first argument."""
    verb = whole_verb(function)
    return click.option(
        "--door", metavar="NAME", shell_complete=_door_names, help="Which door, where there are several."
    )(verb)


def whole_verb(function: Callable[Concatenate[Call, P], int | None]) -> Callable[P, int | None]:
    """As :func:`control_verb`, for what is of all doors: there is no ``--door``, which would be misunderstood."""

    @functools.wraps(function)
    def verb(*args: P.args, **kwargs: P.kwargs) -> int | None:
        named: dict[str, Any] = dict(kwargs)
        call = Call(*(named.pop(name, None) for name in ("control", "config", "door", "json")))
        return function(call, *args, **named)

    for option in (
        json_option,
        click.option("--config", metavar="FILE", type=click.Path(), help="The frontdoor that serves this config."),
        click.option("--control", metavar="PATH", type=click.Path(), help="The control socket itself."),
    ):
        verb = option(verb)
    return verb


def find_socket(control: str | None, config: str | None) -> str:
    """Return the control socket: the first of the contract's places that answers.

    One that was asked for by an option or by $FRONTDOOR_CONTROL must answer itself. Raises
    :exc:`NotRunning`, :exc:`NotAllowed`; :exc:`click.UsageError` if `config` cannot be read.
    """
    if control is not None:
        return _answering(control)
    if config is not None:
        try:
            return _answering(socket_of(config))
        except NotRunning as error:
            raise NotRunning(f"{error}; start it with: frontdoor serve {config}") from None
    if named := os.environ.get("FRONTDOOR_CONTROL"):
        return _answering(named)
    looked_at = []
    refused: NotAllowed | None = None
    for path in _usual_sockets():
        try:
            return _answering(path)
        except NotRunning:
            looked_at.append(path)
        except NotAllowed as error:
            refused = refused or error
    if refused is not None:
        raise refused
    raise NotRunning(
        f"no frontdoor is running here (looked at {', '.join(looked_at)}); "
        "start one with: frontdoor serve config.toml, or say which with --control or --config"
    )


def socket_of(config: str) -> str:
    """Return the control socket of the config file `config`. Raises :exc:`click.UsageError`."""
    from frontdoor.config.runtime import runtime_dir

    try:
        return os.path.join(runtime_dir(config), SOCKET)
    except OSError as error:
        raise click.UsageError(f"{config} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise click.UsageError(f"{config} is not TOML: {error}") from None


def _usual_sockets() -> list[str]:
    places = []
    if os.path.exists("config.toml"):
        try:
            places.append(socket_of("config.toml"))
        except click.UsageError:
            # Somebody else's config.toml, or one that is being edited. Mostly it is where it is by default.
            places.append(os.path.join(os.path.abspath(DEFAULT_RUNTIME_DIR), SOCKET))
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        places.append(os.path.join(runtime, "frontdoor", SOCKET))
    return [*places, SYSTEM_SOCKET]


def _answering(path: str) -> str:
    connect(path).close()
    return path


class Version(TextType):
    """A version's name or a generation's id: its form is checked before anybody is asked."""

    name = "version"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return `value` as it is. Raises :exc:`click.UsageError`."""
        if not _VERSION.fullmatch(value):
            raise click.UsageError(
                f"{value!r} is not the name of a version: up to 64 letters, digits, '.', '_' and '-', the "
                "first a letter or digit (v1, 2026-11-22.1), or a generation such as v1#7",
                ctx,
            )
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return what the running frontdoor knows."""
        from frontdoor.cli.candidates import versions  # here: only a shell that completes needs it

        return versions(ctx, incomplete)


class Duration(SecondsType):
    """A duration as the config writes it, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds. Raises :exc:`click.UsageError`."""
        if isinstance(value, float):
            return value
        match = _DURATION.fullmatch(value)
        if match is None:
            raise click.UsageError(f'{value!r} is not a duration such as "250ms", "30s", "10m" or "1h"', ctx)
        return float(match[1]) * _SECONDS[match[2]]
