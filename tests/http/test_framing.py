"""Where a body ends, however its bytes are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.http.framing import BadBody, Chunked, Sized, UntilClose, body_of
from frontdoor.http.head import CHUNKED, NONE, UNTIL_CLOSE

HELLO = b"5\r\nhello\r\n0\r\n\r\n"

BROKEN = {
    "no size": b"\r\nhello\r\n",
    "no digits": b"x\r\n",
    "a sign": b"+5\r\nhello\r\n",
    "a minus": b"-5\r\nhello\r\n",
    "0x": b"0x5\r\nhello\r\n",
    "a space in front": b" 5\r\nhello\r\n",
    "a space behind": b"5 \r\nhello\r\n",
    "a tab behind": b"5\t\r\nhello\r\n",
    "an underscore": b"1_0\r\n",
    "a size past 64 bits": b"10000000000000005\r\nhello\r\n",
    "a size of 16 digits": b"ffffffffffffffff\r\n",
    "a bare line feed behind the size": b"5\nhello\r\n",
    "a bare carriage return": b"5\rhello\r\n",
    "a bare line feed behind the data": b"5\r\nhello\n0\r\n\r\n",
    "nothing behind the data": b"5\r\nhello0\r\n\r\n",
    "more than it says": b"5\r\nhello!\r\n0\r\n\r\n",
    "less than it says": b"6\r\nhello\r\n0\r\n\r\n",
    "an extension with a line feed": b"5;a=b\nc\r\nhello\r\n",
    "an extension with a quoted line feed": b'5;a="b\nc"\r\nhello\r\n',
    "an extension without a name": b"5;\r\nhello\r\n",
    "an extension with spaces": b"5; a = b\r\nhello\r\n",
    "an open quote": b'5;a="b\r\nhello\r\n',
    "an extension past all measure": b"5;a=" + b"b" * 5000 + b"\r\n",
    "a trailer that is folded": b"0\r\nX: a\r\n b\r\n\r\n",
    "a trailer without a colon": b"0\r\nX\r\n\r\n",
    "a trailer with a space in front of its colon": b"0\r\nX : a\r\n\r\n",
    "a length as a trailer": b"0\r\nContent-Length: 5\r\n\r\n",
    "a coding as a trailer": b"0\r\ntransfer-encoding: chunked\r\n\r\n",
    "a claim as a trailer": b"0\r\nX-Forwarded_For: a\r\n\r\n",
    "a cookie as a trailer": b"0\r\nCookie: a\r\n\r\n",
    "trailers past all measure": b"0\r\n" + b"X: aaaaaaaa\r\n" * 2000 + b"\r\n",
    "extensions past all measure, in small chunks": (b"1;" + b"a" * 2000 + b"\r\nx\r\n") * 10,
    "a proxy's word as a trailer": b"0\r\nX-Real-IP: a\r\n\r\n",
    "a line that never ends": b"0\r\nX: " + b"a" * 6000,
    "NUL in a trailer": b"0\r\nX: \0\r\n\r\n",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_chunks_with_more_than_one_reading(data: bytes) -> None:
    with pytest.raises(BadBody):
        Chunked().take(data)
    with pytest.raises(BadBody):
        take_bytewise(Chunked(), data)


def take_bytewise(body: Chunked, data: bytes) -> None:
    for byte in data:
        body.take(bytes([byte]))


@pytest.mark.parametrize(
    "data",
    [
        HELLO,
        b"0\r\n\r\n",
        b"000\r\n\r\n",
        b"A\r\n0123456789\r\n0\r\n\r\n",
        b'5;a;b=c;d="e \\" f"\r\nhello\r\n0;last\r\n\r\n',
        b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nOther:\r\n\r\n",
        b"2\r\n\r\n\r\n0\r\n\r\n",
    ],
)
def test_chunks_end_where_they_end(data: bytes) -> None:
    body = Chunked()
    assert body.take(data + b"GET / HTTP/1.1") == len(data)
    assert body.done


def test_extensions_of_large_chunks_may_be_many() -> None:
    chunk = b"1000;signature=" + b"a" * 64 + b"\r\n" + b"x" * 4096 + b"\r\n"
    body = Chunked()
    assert body.take(chunk * 500) == len(chunk) * 500


def test_what_the_chunks_hold() -> None:
    body = Chunked(decode=True)
    body.take(b"5\r\nhello\r\n6;x\r\n world\r\n0\r\nX: y\r\n\r\n")
    assert (bytes(body.payload), body.size) == (b"hello world", 11)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.data())
def test_cuts_do_not_matter(chunks: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nX: y\r\n\r\n"
    sent = whole + b"behind it"
    body, taken = Chunked(decode=True), 0
    while not body.done:
        piece = sent[taken : taken + data.draw(st.integers(1, 9))]
        count = body.take(piece)
        assert count == len(piece) or body.done
        taken += count
    assert sent[:taken] == whole
    assert bytes(body.payload) == b"".join(chunks)


@given(st.binary(max_size=100), st.integers(1, 7))
def test_garbage_is_taken_or_refused_alike_however_it_is_cut(data: bytes, step: int) -> None:
    def reading(pieces: list[bytes]) -> tuple[str, int]:
        body, taken = Chunked(), 0
        try:
            for piece in pieces:
                taken += body.take(piece)
                if body.done:
                    break
        except BadBody:
            return "refused", 0
        return ("done" if body.done else "more"), taken

    whole = reading([data])
    pieces = reading([data[at : at + step] for at in range(0, len(data), step)])
    assert whole == pieces or "refused" in (whole[0], pieces[0]), "one may know it sooner"
    assert (whole[0] == "done") == (pieces[0] == "done")


def test_a_size() -> None:
    body = Sized(5)
    assert (body.take(b"hel"), body.done, body.left) == (3, False, 2)
    assert (body.take(b"lo, and more"), body.done, body.left) == (2, True, 0)
    body = Sized(5)
    body.skip(5)
    assert body.done


def test_which_it_is() -> None:
    assert body_of(NONE) is None
    assert isinstance(body_of(7), Sized)
    assert isinstance(body_of(CHUNKED), Chunked)
    until = body_of(UNTIL_CLOSE)
    assert isinstance(until, UntilClose)
    assert (until.take(b"abc"), until.done) == (3, False)
