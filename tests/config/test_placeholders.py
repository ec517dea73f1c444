import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.config.placeholders import NAMES, check, fill

VALUES = {name: f"<{name}>" for name in NAMES}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("", ""),
        ("{version}#{generation}", "<version>#<generation>"),
        ("{{version}}", "{version}"),
        ("{{{version}}}", "{<version>}"),
        ("}}{{", "}{"),
    ],
)
def test_a_placeholder_becomes_its_value_and_a_double_brace_a_brace(text: str, filled: str) -> None:
    check(text)
    assert fill(text, VALUES) == filled


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{sokcet}", "unknown placeholder {sokcet}; the nearest known one is {socket}"),
        (
            "{}",
            "unknown placeholder {}; known are {socket}, {version}, {generation}, {python}, {runtime_dir}, {process}",
        ),
        ("{ version }", "unknown placeholder { version }; the nearest known one is {version}"),
        ("{version", 'a "{" stands alone; write "{{" for the character'),
        ("version}", 'a "}" stands alone; write "}}" for the character'),
    ],
)
def test_what_is_no_placeholder_is_refused_with_the_nearest(text: str, message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the message is compared below
        check(text)
    assert str(refused.value).removeprefix(f'"{text}": ').removesuffix(' (write "{{" for a "{")') == message


@given(st.text())
def test_any_text_can_be_said_with_its_braces_doubled(text: str) -> None:
    doubled = text.replace("{", "{{").replace("}", "}}")
    check(doubled)
    assert fill(doubled, VALUES) == text


@given(st.text(alphabet="{}version"))
def test_whatever_is_passed_can_be_filled(text: str) -> None:
    try:
        check(text)
    except ValueError:
        return
    fill(text, VALUES)
