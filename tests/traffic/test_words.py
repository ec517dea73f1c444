import os

import pytest

from frontdoor.traffic.words import PIPES, SIZE, SLOTS, Words


def test_who_opens_them_sees_what_was_written() -> None:
    words = Words.create()
    other = Words.open(os.dup(words.fd))
    assert not os.get_inheritable(words.fd)
    assert (other.last_stream, other.owner(0), other.tally(0)) == (0, 0, (0, 0, 0))

    words.last_stream = 7
    words.view[2 + 3] = 7 << 1 | 1
    words.set_tally(SLOTS - 1, 7, 1 << 40, 2)
    assert other.last_stream == 7
    assert other.owner(3) == other.owners[3] == 15
    assert other.tally(SLOTS - 1) == (7, 1 << 40, 2)
    other.owners[PIPES - 1] = 9
    assert words.owner(PIPES - 1) == 9
    assert words.tally(0) == (0, 0, 0), "the pipes' words end before the tallies begin"
    assert repr(other) == "<Words up to stream 7>"
    assert (words.PIPES, words.SLOTS) == (PIPES, SLOTS)

    words.close()
    assert other.last_stream == 7, "whoever holds them last has them"
    other.close()


def test_they_leave_nothing_behind() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for words in (Words.create(), Words.alone()):
        words.last_stream = 1
        assert words.last_stream == 1
        words.close()
        with pytest.raises(ValueError, match="released"):
            words.last_stream = 2
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("size", [0, SIZE - 8, SIZE + 8])
def test_memory_of_another_size_is_not_taken(size: int) -> None:
    fd = os.memfd_create("other", os.MFD_CLOEXEC)
    os.ftruncate(fd, size)
    with pytest.raises(ValueError, match=f"{size} bytes, not {SIZE}"):
        Words.open(fd)
    os.close(fd)  # it is the caller's still


def test_a_tally_that_is_interrupted_is_nobody_s() -> None:
    words = Words.alone()
    words.set_tally(5, 1, 100, 200)
    for down in (-1, 1 << 64):
        with pytest.raises((ValueError, OverflowError)):
            words.set_tally(5, 2, 300, down)
        assert words.tally(5)[0] == 0
    words.set_tally(5, 2, 300, 400)
    assert words.tally(5) == (2, 300, 400)
    words.close()
