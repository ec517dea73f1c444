"""What is done to each target: one module a family of cases."""

from benchmark.cases import bulk, echo, growth, idle, requests, stall, switch
from benchmark.figure import Case

CASES: tuple[Case, ...] = (
    *requests.CASES,
    *echo.CASES,
    *bulk.CASES,
    *idle.CASES,
    *growth.CASES,
    *switch.CASES,
    *stall.CASES,
)
"""In the order of the table."""
