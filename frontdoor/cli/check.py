"""``frontdoor check CONFIG``: every error of a config, with its key and line."""

from __future__ import annotations

import click

from frontdoor.cli.output import complain, progress, result, result_json


@click.command(short_help="Validate a config, start nothing.")
@click.argument("config")
@click.option("--json", "as_json", is_flag=True, help="Print machine-readable JSON.")
def check(config: str, as_json: bool) -> int:
    """Validate a config, name every error with its key and line, start nothing."""
    # Here and not above: it brings pydantic, which no other verb needs.
    from frontdoor.config import ConfigError, load

    try:
        load(config)
    except ConfigError as error:
        if as_json:
            problems = [{"key": p.key, "line": p.line, "message": p.message} for p in error.problems]
            result_json({"valid": False, "problems": problems, "exit_code": 2})
        else:
            for line in str(error).splitlines():
                progress(line)
        return 2
    except OSError as error:
        message = f"{config} cannot be read: {error.strerror or error}"
        if as_json:
            result_json({"valid": False, "error": message, "exit_code": 2})
        complain(message)
        return 2
    if as_json:
        result_json({"valid": True, "problems": [], "exit_code": 0})
    else:
        result(f"{config} is valid")
    return 0
