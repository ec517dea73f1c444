import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.config.sizes import LARGEST, parse_limit, parse_size, show_size


@pytest.mark.parametrize(
    ("text", "size"), [("0B", 0), ("512B", 512), ("64KiB", 65536), ("10MiB", 10 << 20), ("1GiB", 1 << 30)]
)
def test_a_size_is_read_as_bytes(text: str, size: int) -> None:
    assert parse_size(text) == parse_limit(text) == size


def test_only_a_limit_may_be_none() -> None:
    assert parse_limit("never") == math.inf
    with pytest.raises(ValueError, match='"never" is not a size'):
        parse_size("never")


@given(st.integers(0, LARGEST))
def test_a_size_that_was_written_is_read_again(size: int) -> None:
    assert parse_size(show_size(size)) == size


def test_a_size_is_written_in_the_largest_unit_that_fits() -> None:
    shown = [show_size(size) for size in (0, 1, 1023, 1024, 1536, 1 << 20, 3 << 30, LARGEST)]
    assert shown == ["0B", "1B", "1023B", "1KiB", "1536B", "1MiB", "3GiB", "1024TiB"]


FORMS = 'write a whole number and a unit, as "512B", "64KiB", "10MiB" or "1GiB"'


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (65536, 'a size is a string with a unit: write "64KiB"'),
        (10**400, 'a size is a string with a unit: write "1024TiB"'),
        (True, 'must be a size, such as "64KiB", not true or false'),
        (1.5, 'must be a size, such as "64KiB", not a number with a fraction'),
        ("64KB", '"64KB" is not a size: write "64KiB"'),
        ("64k", '"64k" is not a size: write "64KiB"'),
        ("1g", '"1g" is not a size: write "1GiB"'),
        ("5bytes", '"5bytes" is not a size: write "5B"'),
        *(
            (text, f'"{text}" is not a size: {FORMS}')
            for text in ("", "64", "64 KiB", "-1B", "1.5MiB", "٣B", "5x", "KiB")
        ),
        ("9999999TiB", '"9999999TiB" is larger than 1024TiB'),
    ],
)
def test_what_is_no_size_is_refused_with_what_to_write(value: object, message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole message is compared below
        parse_size(value)
    assert str(refused.value) == message
