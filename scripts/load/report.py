"""The result of a load, as a table for people."""

from load.record import Result, Row

HEADINGS = ("client", "conns", "rounds", "messages", "bytes", "failed", "answered by (connections)")


def table(result: Result) -> str:
    """What every client saw, a line each, then the sum, then the first failures."""
    total = result.total
    sum_row = Row("all", "", total.connections, total.rounds, total.messages, total.moved, total.failures)
    sum_row.generations.update(result.generations)
    cells = [HEADINGS, *(_cells(row) for row in result.clients), _cells(sum_row)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    lines = [_line(line, widths) for line in cells]
    rule = "─" * max(len(line) for line in lines)
    lines = [lines[0], rule, *lines[1:-1], rule, lines[-1]]
    if result.failures:
        lines += ["", f"{result.failed} failures, the first of them:", *(f"  {failure}" for failure in result.failures)]
    idle = [row.client for row in result.clients if not row.rounds]
    if idle:
        lines += ["", f"got nothing done: {', '.join(idle)}"]
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    seen = "  ".join(f"{generation}: {count}" for generation, count in row.generations.items())
    messages = str(row.messages) if row.messages else "-"
    return (
        row.client,
        str(row.connections),
        str(row.rounds),
        messages,
        _size(row.moved),
        str(row.failures or "-"),
        seen,
    )


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    # Names to the left, figures to the right; the last column has no width: nothing stands behind it.
    middle = (cell.rjust(width) for cell, width in zip(cells[1:-1], widths[1:-1], strict=True))
    return "  ".join([cells[0].ljust(widths[0]), *middle, cells[-1]])


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
