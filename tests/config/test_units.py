import datetime
import math
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.config.units import (
    LONGEST,
    kind_of,
    parse_duration,
    parse_signal,
    show_duration,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("30s", 30), ("5m", 300), ("1h", 3600), ("0s", 0), ("1.5s", 1.5), ("never", math.inf)],
)
def test_a_duration_is_read_as_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@given(st.floats(0, LONGEST, allow_subnormal=False).map(lambda seconds: round(seconds, 9)))
def test_a_duration_that_was_written_is_read_again(seconds: float) -> None:
    assert parse_duration(show_duration(seconds)) == seconds


@given(st.integers(0, 87_600), st.sampled_from(["ms", "s", "m", "h"]))
def test_a_duration_that_was_read_is_written_with_the_same_meaning(count: int, unit: str) -> None:
    seconds = parse_duration(f"{count}{unit}")
    assert parse_duration(show_duration(seconds)) == seconds


def test_a_duration_is_written_in_the_largest_unit_that_fits() -> None:
    shown = [show_duration(seconds) for seconds in (0, 0.25, 1.5, 90, 300, 3600, 5400, math.inf)]
    assert shown == ["0s", "250ms", "1500ms", "90s", "5m", "1h", "90m", "never"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, 'a duration is a string with a unit: write "5s"'),
        (-300, 'a duration is a string with a unit: write "5m"'),
        (0.25, 'a duration is a string with a unit: write "250ms"'),
        (math.nan, 'a duration is a string with a unit: write "5s"'),
        (10**400, 'a duration is a string with a unit: write "5s"'),
        (True, 'must be a duration, such as "5s", not true or false'),
        (("5s",), 'must be a duration, such as "5s", not an array'),
        ("999999h", '"999999h" is longer than ten years: write "never"'),
        *(
            (
                text,
                f'"{text}" is not a duration: write a number and a unit, as "250ms", "30s", "5m" or "1h", or "never"',
            )
            for text in ("", "5", "5 s", "-5s", "5S", "1h30m", ".5s", "5s ", "٣s", "Never", "1e3s", "inf")
        ),
    ],
)
def test_what_is_no_duration_is_refused_with_what_to_write(value: object, message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole message is compared below
        parse_duration(value)
    assert str(refused.value) == message

    assert str(refused.value) == message


def test_a_signal_is_known_by_both_its_names() -> None:
    assert parse_signal("SIGTERM") == parse_signal("TERM") == signal.SIGTERM
    assert parse_signal("INT") == signal.SIGINT


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("SIGTREM", '"SIGTREM" is not a signal; the nearest one is "SIGTERM"'),
        ("term", '"term" is not a signal; the nearest one is "SIGTERM"'),
        ("", '"" is not a signal; write "SIGTERM" or "SIGINT"'),
        (15, 'a signal is given by its name: write "SIGTERM", not a whole number'),
    ],
)
def test_what_is_no_signal_is_refused_with_the_nearest(value: object, message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole message is compared below
        parse_signal(value)
    assert str(refused.value) == message


def test_every_kind_of_toml_value_has_a_name() -> None:
    values: list[object] = [True, 1, 1.5, "", {}, [], (), datetime.date(2026, 11, 22)]
    kinds = [kind_of(value) for value in values]
    assert kinds == [
        "true or false",
        "a whole number",
        "a number with a fraction",
        "a string",
        "a table",
        "an array",
        "an array",
        "a date or a time",
    ]
