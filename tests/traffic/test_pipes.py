import fcntl
import os

import pytest

from frontdoor.traffic.pipes import DISCARD, KEPT, WIDE, WIDE_ONES, Pipe, Pool


def words(count: int = 100) -> memoryview:
    return memoryview(bytearray(8 * count)).cast("Q")


def test_a_pipe_given_back_is_the_next_one_taken() -> None:
    pool = Pool(lambda count: True, words())
    pipe = pool.take()
    assert pipe is not None
    pool.give(pipe)
    assert pool.take() is pipe
    assert pool.made == 1
    pool.discard(pipe)
    assert pool.made == 0


def test_there_are_no_more_than_there_is_room_for() -> None:
    pool = Pool(lambda count: count <= 2, words())
    first, second = pool.take(), pool.take()
    assert first is not None
    assert second is not None
    assert pool.take() is None
    pool.give(first)
    assert pool.take() is first
    for pipe in (first, second):
        pool.discard(pipe)


def test_the_kernel_has_no_descriptor_left(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(lambda count: True, words())

    def refuse(flags: int) -> tuple[int, int]:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pipe2", refuse)
        assert pool.take() is None
    assert pool.made == 0
    pipe = pool.take()
    assert pipe is not None
    pool.discard(pipe)


def test_only_some_of_many_are_kept() -> None:
    pool = Pool(lambda count: True, words())
    pipes = [pool.take() for _ in range(KEPT + 10)]
    for pipe in pipes:
        assert pipe is not None
        pool.give(pipe)
    assert pool.made == KEPT
    assert repr(pool) == f"<Pool of {KEPT} pipes, {KEPT} free>"
    while pool.made:
        pipe = pool.take()
        assert pipe is not None
        pool.discard(pipe)


def test_an_index_is_that_of_one_pipe_at_a_time() -> None:
    owners = words(3)
    lost: list[Pipe] = []
    pool = Pool(lambda count: True, owners, lose=lost.append)
    owners[1] = 77
    pipes = [pool.take() for _ in range(3)]
    assert [pipe.index for pipe in pipes if pipe] == [0, 1, 2]
    assert owners[1] == 0, "whose bytes were in its namesake does not matter"
    assert pool.take() is None, "there are no more words"
    _, second, _ = pipes
    assert second is not None
    pool.discard(second)
    assert lost == [second]
    again = pool.take()
    assert again is not None
    assert again.index == 1
    for pipe in (pipes[0], again, pipes[2]):
        assert pipe is not None
        pool.discard(pipe)


def test_a_pipe_is_kept_before_it_is_used_or_there_is_none() -> None:
    kept: list[Pipe] = []

    def keep(pipe: Pipe) -> bool:
        assert os.write(pipe.write, b"x") == 1
        assert pipe.count() == 1
        os.read(pipe.read, 1)
        kept.append(pipe)
        return len(kept) > 1

    pool = Pool(lambda count: True, words(), keep)
    before = len(os.listdir("/proc/self/fd"))
    assert pool.take() is None
    assert len(os.listdir("/proc/self/fd")) == before
    assert pool.made == 0
    pipe = pool.take()
    assert pipe is kept[1]
    assert pipe.index == 0
    assert pool.made == 1
    pool.discard(pipe)


def test_pipes_that_there_are_already() -> None:
    pool = Pool(lambda count: True, words(4))
    old = [Pipe(2), Pipe(0)]
    pool.adopt(old)
    assert pool.made == 2
    pool.give(old[0])
    assert pool.take() is old[0]
    new = [pool.take(), pool.take()]
    assert [pipe.index for pipe in new if pipe] == [1, 3]
    assert pool.take() is None
    for pipe in [*old, *new]:
        assert pipe is not None
        pool.discard(pipe)


def test_a_pipe_blocks_nobody_and_is_inherited_by_nobody() -> None:
    pipe = Pipe(3)
    for fd in (pipe.read, pipe.write):
        assert not os.get_blocking(fd)
        assert not os.get_inheritable(fd)
    assert not os.get_inheritable(DISCARD)
    assert repr(pipe) == f"<Pipe 3: {pipe.read}←{pipe.write}>"
    pipe.close()


def test_the_first_pipes_are_wide_and_the_others_as_the_kernel_makes_them() -> None:
    pool = Pool(lambda count: True, words())
    pipes = [pool.take() for _ in range(WIDE_ONES + 1)]
    sizes = [fcntl.fcntl(pipe.write, fcntl.F_GETPIPE_SZ) for pipe in pipes if pipe is not None]
    assert sizes == [WIDE] * WIDE_ONES + [64 << 10]
    for pipe in pipes:
        assert pipe is not None
        pool.discard(pipe)


def test_a_pipe_that_the_kernel_does_not_widen_works_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, command: int, argument: int) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    pool = Pool(lambda count: True, words())
    pipe = pool.take()
    assert pipe is not None
    assert os.write(pipe.write, b"x") == 1
    pool.discard(pipe)
