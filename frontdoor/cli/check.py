"""``frontdoor check CONFIG``: every error of a config, with its key and line."""

from __future__ import annotations

import click

from frontdoor.cli.call import json_option
from frontdoor.cli.output import complain, progress, result, result_json


@click.command()
@click.argument("config", type=click.Path())
@json_option
def check(config: str, json: bool) -> int:
    """Validate a config, name every error with its key and line, start nothing."""
    # Here and not above: it brings pydantic, which no other verb needs.
    from frontdoor.config import ConfigError, load

    try:
        warnings = load(config).frontdoor.warnings
    except ConfigError as error:
        if json:
            result_json({"valid": False, "problems": error.as_json(), "exit_code": 2})
        else:
            for line in str(error).splitlines():
                progress(line)
        return 2
    except OSError as error:
        message = f"{config} cannot be read: {error.strerror or error}"
        if json:
            result_json({"valid": False, "error": message, "exit_code": 2})
        complain(message)
        return 2
    if json:
        result_json({"valid": True, "problems": [], "warnings": list(warnings), "exit_code": 0})
    else:
        for warning in warnings:
            progress(f"warning: {warning}")
        result(f"{config} is valid")
    return 0
