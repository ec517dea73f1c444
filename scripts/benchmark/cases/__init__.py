"""What is done to each target: one module a family of cases. `CASES` and `HTTP_CASES` are in the order of the table."""

from benchmark.cases import bulk, echo, growth, http, idle, requests, stall, switch
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
HTTP_CASES = http.CASES
