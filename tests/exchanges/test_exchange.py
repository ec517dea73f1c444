"""One request and its answer, step by step."""

import contextlib
import gc
import socket

import pytest

from exchanges.hall import GET, OK, Hall, hall
from frontdoor.exchanges.exchange import Exchange
from frontdoor.exchanges.upstream import Upstream
from frontdoor.exchanges.visitor import Visitor

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_a_request_and_its_answer() -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client)
        assert (door.generation.open, door.gate.ledger.open) == (1, 1)
        backend.sendall(OK)
        assert door.read(client) == OK
        assert (door.ended, door.generation.open, door.gate.idle) == ({"answered": 1}, 0, 1)


def test_the_next_one_goes_over_the_same_connections() -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client)
        for _ in range(3):
            backend.sendall(OK)
            assert door.read(client) == OK
            client.sendall(GET)
            assert door.read(backend).startswith(b"GET / HTTP/1.1\r\n")
        assert not door.dialled
        assert door.gate.ledger.accepted == 4


@pytest.mark.parametrize("request_", [POST + b"body", b"PATCH / HTTP/1.1\r\nHost: a\r\n\r\n", CHUNKED + b"0\r\n\r\n"])
def test_what_may_not_be_said_twice_gets_a_fresh_connection(request_: bytes) -> None:
    with hall() as door:
        client = door.connect()
        door.ask(client).sendall(OK)
        assert door.read(client) == OK
        client.sendall(request_)
        assert door.read(door.backend()).startswith(request_[:5])


def test_a_kept_connection_that_dies_before_the_answer_is_no_failure() -> None:
    with hall() as door:
        client = door.connect()
        kept = door.ask(client)
        kept.sendall(OK)
        assert door.read(client) == OK
        client.sendall(GET)
        assert door.read(kept)
        kept.close()
        fresh = door.backend()
        assert door.read(fresh).startswith(b"GET")
        fresh.sendall(OK)
        assert door.read(client) == OK
        assert door.ended == {"answered": 2}
        assert door.generation.conduct.failures == 0


def test_it_is_asked_twice_and_not_three_times() -> None:
    with hall() as door:
        client = door.connect()
        kept = door.ask(client)
        kept.sendall(OK)
        door.read(client)
        client.sendall(GET)
        door.read(kept)
        kept.close()
        door.backend().close()
        assert door.read(client).startswith(b"HTTP/1.1 502 ")
        assert not door.dialled
        assert door.generation.conduct.early_closes == 1


def test_an_idle_connection_that_the_backend_closes_is_forgotten() -> None:
    with hall() as door:
        client = door.connect()
        kept = door.ask(client)
        kept.sendall(OK)
        door.read(client)
        kept.close()
        door.turn()
        assert len(door.exchanges.pool) == 0


def test_a_backend_that_says_something_unasked_is_not_asked_again() -> None:
    with hall() as door:
        client = door.connect()
        kept = door.ask(client)
        kept.sendall(OK)
        door.read(client)
        kept.sendall(OK)
        door.turn()
        client.sendall(GET)
        door.backend().sendall(OK.replace(b"ok", b"no"))
        assert door.read(client).endswith(b"no")


def test_at_a_switch_nothing_is_kept_of_the_old_generation() -> None:
    with hall() as door:
        client = door.connect()
        old = door.ask(client)
        old.sendall(OK)
        door.read(client)
        door.listening = door.activate("v2", 2)
        assert door.read(old) == b"", "closed at once"
        client.sendall(GET)
        assert door.read(door.backend()).startswith(b"GET")


def test_a_request_under_way_ends_where_it_began() -> None:
    with hall() as door:
        client = door.connect()
        old, old_generation = door.ask(client), door.generation
        door.listening = door.activate("v2", 2)
        old.sendall(OK)
        assert door.read(client) == OK
        assert old_generation.open == 0
        assert door.read(old) == b"", "it is not kept"


def test_pipelined_requests_are_answered_in_order() -> None:
    with hall() as door:
        client = door.connect()
        client.sendall(b"".join(GET.replace(b"/ ", b"/%d " % number) for number in range(4)))
        backend = door.backend()
        for number in range(4):
            assert door.read(backend).startswith(b"GET /%d " % number), "the next one waits for the answer to this"
            backend.sendall(OK.replace(b"ok", b"%02d" % number))
            assert door.read(client).endswith(b"%02d" % number)
        assert door.ended == {"answered": 4}


def test_a_body_passes_as_it_comes() -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client, POST + b"bo")
        client.sendall(b"dy" + GET)
        assert door.read(backend) == b"dy", "and nothing of the next request"
        backend.sendall(OK)
        assert door.read(client) == OK
        assert door.read(backend).startswith(b"GET"), "it was kept, and the next one may use it"


def test_an_answer_that_comes_byte_by_byte() -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client)
        got = b""
        for byte in OK:
            backend.sendall(bytes([byte]))
            door.turn()
        got = door.read(client)
        assert got == OK
        assert door.ended == {"answered": 1}


def test_interim_answers_go_on_but_not_to_http_1_0() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    for request, seen in ((GET, hints), (b"GET / HTTP/1.0\r\n\r\n", b"")):
        with hall() as door:
            client = door.connect()
            door.ask(client, request).sendall(hints + OK)
            assert door.read(client).startswith(seen + b"HTTP/1.1 200")


def test_an_endless_row_of_interim_answers_does_not_fill_the_memory() -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client)
        backend.setblocking(False)
        sent = 0
        try:
            for _ in range(100_000):
                sent += backend.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 400)
                door.turn()
        except BlockingIOError:
            pass
        assert sent < 4 << 20, "the backend has to wait for the client"


BROKEN = {
    "garbage": b"hello\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
    "both lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "nothing": b"",
    "101 unasked": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    "a chunk that is none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    "a head without end": b"HTTP/1.1 200 OK\r\nX: " + b"a" * (300 << 10),
}


@pytest.mark.parametrize("said", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_answer_is_a_502(said: bytes) -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client)
        backend.setblocking(False)
        while said:
            try:
                said = said[backend.send(said) :]
            except BrokenPipeError:
                break
            except BlockingIOError:
                pass
            door.turn()
        backend.close()
        assert door.read(client).startswith(b"HTTP/1.1 502 ")
        assert len(door.reported) == 1
        assert sum(door.ended.values()) == 1
        client.sendall(GET)
        assert door.read(door.backend()), "the client's connection goes on"


CUT = {
    "fewer bytes than it says": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",
    "no last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    "a chunk that is none, later": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
}


@pytest.mark.parametrize("said", CUT.values(), ids=CUT.keys())
def test_half_an_answer_ends_the_connection(said: bytes) -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client)
        backend.sendall(said)
        assert door.read(client) == said
        if said is CUT["a chunk that is none, later"]:
            backend.sendall(b"x\r\n")
        else:
            backend.close()
        assert door.read(client) == b"", "the client can tell that this is not all"
        assert door.ended == {"backend_closed": 1}


def test_more_than_the_answer_has_is_not_the_client_s() -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client)
        backend.sendall(OK + OK)
        assert door.read(client) == OK
        assert door.read(backend) == b"", "it is not used again"
        assert len(door.reported) == 1
        client.sendall(GET)
        assert door.read(door.backend())


def test_an_early_answer_to_an_upload() -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client, POST.replace(b": 4", b": 400000") + b"ab")
        backend.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        backend.close()
        answer = door.read(client)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"\r\nConnection: close\r\n" in answer
        client.sendall(b"c" * 100_000)  # it is thrown away; a reset might destroy the answer
        assert door.read(client) == b""
        assert door.ended == {"answered": 1}


@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_a_client_that_leaves_while_it_waits(how: str) -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client)
        if how == "FIN":
            client.shutdown(socket.SHUT_WR)
            backend.sendall(OK)
            assert door.read(client).endswith(b"\r\n\r\nok"), "it has asked, and may listen still"
            assert door.ended == {"answered": 1}
            assert door.exchanges.clients == 0
        else:
            client.close()  # a Unix socket: nobody can send there any more
            backend.sendall(OK)
            door.turn()
            assert door.ended == {"client_reset": 1}


def test_a_client_that_leaves_in_the_middle_of_its_request() -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client, POST + b"a")
        client.close()
        assert door.read(backend) == b""
        assert door.ended == {"client_closed": 1}


def test_chunks_that_are_none_in_a_request() -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client, CHUNKED + b"2\r\nab\r\n")
        client.sendall(b"+2\r\nab\r\n")
        assert door.read(client).startswith(b"HTTP/1.1 400 ")
        assert door.read(backend) == b"", "it never sees the end of that request"
        assert door.ended == {"bad_request": 1}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (POST.replace(b": 4", b": 400"), 413),
        (CHUNKED + b"190\r\n", 413),
        (b"GET /" + b"a" * 5000, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 5000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 5000 + b"\r\n\r\n", 431),
    ],
)
def test_what_is_too_large(request_: bytes, status: int) -> None:
    with hall(max_body=300) as door:
        client = door.connect()
        client.sendall(request_)
        assert door.read(client).startswith(b"HTTP/1.1 %d " % status)
        assert door.ended == {"bad_request": 1}
        assert door.read(client) == b""


# -- time -------------------------------------------------------------------------------------------------------------


def test_a_client_that_never_says_a_word_is_closed() -> None:
    with hall() as door:
        client = door.connect()
        door.later(9)
        assert door.exchanges.clients == 1
        door.later(2)
        assert door.read(client) == b""
        assert door.ended == {"idle_timeout": 1}


def test_a_head_that_comes_too_slowly() -> None:
    with hall() as door:
        client = door.connect()
        for byte in GET[:9]:
            client.sendall(bytes([byte]))
            door.later(1)
        assert door.exchanges.clients == 1
        client.sendall(b"x")
        door.later(2)
        assert door.read(client).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_comes_too_slowly() -> None:
    with hall() as door:
        client = door.connect()
        door.ask(client, POST + b"a")
        door.later(59)
        client.sendall(b"b")
        door.later(59)
        assert list(door.exchanges), "each byte is a sign of life"
        door.later(2)
        assert door.read(client).startswith(b"HTTP/1.1 408 ")


def test_a_backend_that_says_nothing() -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client)
        door.later(49)
        assert list(door.exchanges)
        door.later(2)
        assert door.read(client).startswith(b"HTTP/1.1 504 ")
        assert door.read(backend) == b""
        assert door.reported == ["no answer within 50 s"]


def test_a_backend_may_take_its_time_once_it_has_begun() -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client)
        backend.sendall(OK[:-1])
        door.later(10_000)
        backend.sendall(OK[-1:])
        assert door.read(client) == OK


def test_who_has_finished_sending_is_not_waited_for_when_nothing_moves() -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client)
        backend.sendall(OK[:-2])
        door.turn()
        client.shutdown(socket.SHUT_WR)
        door.later(59)
        backend.sendall(OK[-2:-1])
        door.later(59)
        assert list(door.exchanges), "something has moved"
        door.later(2)
        assert door.ended == {"half_close_timeout": 1}
        assert door.read(backend) == b"", "the backend hears of it"


def test_a_client_that_does_not_take_its_answer() -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client)
        backend.settimeout(0)
        backend.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
        for _ in range(1000):
            try:
                backend.send(b"x" * 50_000)
            except BlockingIOError:
                break
            door.turn()
        else:
            pytest.fail("the backend is not held up")
        door.later(59)
        assert list(door.exchanges)
        door.later(2)
        assert door.ended == {"idle_timeout": 1}


def test_a_client_that_takes_its_answer_slowly() -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client)
        backend.settimeout(0)
        backend.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
        with contextlib.suppress(BlockingIOError):
            while True:
                backend.send(b"x" * 50_000)
                door.turn()
        assert len(client.recv(70_000)) == 70_000  # too little for the kernel to say that there is room
        door.later(59)
        door.later(2)
        assert list(door.exchanges)
        door.later(61)
        assert door.ended == {"idle_timeout": 1}


def test_where_descriptors_are_few_none_is_idle() -> None:
    with hall() as door:
        door.exchanges._room = 2
        clients = [door.connect() for _ in range(2)]
        for client in clients:
            backend = door.ask(client)
            backend.sendall(OK)
            assert door.read(client) == OK
            assert door.read(backend) == b"", "the next client may need it"


def test_who_finds_no_descriptor_for_a_backend_gets_that_of_an_idle_one() -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client)
        backend.sendall(OK)
        assert door.read(client) == OK
        door.exchanges.seating.lacking()
        assert door.read(backend) == b""


def test_an_idle_connection_is_closed_after_a_while() -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client)
        backend.sendall(OK)
        door.read(client)
        door.later(31)
        assert door.read(backend) == b"", "after backend_keepalive"
        door.later(45)
        assert door.read(client) == b"", "after keepalive_timeout"
        assert (door.gate.idle, door.exchanges.clients) == (0, 0)


# -- no backend -------------------------------------------------------------------------------------------------------


def test_who_finds_no_backend_is_told_so_and_keeps_his_connection() -> None:
    with hall() as door:
        client = door.connect()
        door.generation.seats[0].up = False
        client.sendall(GET)
        door.turn()
        assert door.exchanges.seating.waiting(door.gate) == 1
        door.exchanges.seating.dismiss(door.gate)
        answer = door.read(client)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: " in answer
        door.generation.seats[0].up = True
        assert door.gate.idle == 1


def test_a_client_that_leaves_while_it_waits_for_a_backend() -> None:
    with hall() as door:
        client = door.connect()
        door.generation.seats[0].up = False
        client.sendall(POST + b"ab")
        door.turn()
        client.close()
        door.turn()
        assert door.exchanges.seating.waiting(door.gate) == 0
        assert door.ended == {"client_closed": 1}


def test_a_paused_door_holds_requests_and_lets_them_go() -> None:
    with hall() as door:
        first, second = door.connect(), door.connect()
        door.gate.paused = True
        first.sendall(GET)
        door.later(9)
        second.sendall(GET)
        door.later(2)
        assert door.read(first).startswith(b"HTTP/1.1 503 "), "after hold_timeout"
        door.gate.paused = False
        door.exchanges.resumed(door.gate)
        assert door.read(door.backend()).startswith(b"GET")


# -- upgrades ---------------------------------------------------------------------------------------------------------

UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


def test_an_upgrade_becomes_a_stream_with_what_was_read_ahead() -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client, UPGRADE + b"early")
        backend.sendall(SWITCHED + b"welcome")
        assert door.read(client) == SWITCHED + b"welcome"
        assert door.read(backend) == b"early"
        client.sendall(b"more")
        assert door.read(backend) == b"more"
        (stream,) = door.relay.streams
        assert (stream.up.moved, stream.down.moved) == (9, 7)
        assert (door.gate.ledger.open, door.generation.open, door.exchanges.clients) == (1, 1, 0)
        client.close()
        backend.close()
        door.until(lambda: not len(door.relay))
        assert (door.ended, door.generation.open) == ({"client_closed": 1}, 0)


def test_an_upgrade_that_is_refused_is_an_answer() -> None:
    with hall() as door:
        client = door.connect()
        backend = door.ask(client, UPGRADE + GET)
        backend.sendall(OK)
        assert door.read(client) == OK
        assert door.read(backend).startswith(b"GET"), "what came behind it is the next request"


def left() -> set[str]:
    """Of which kinds objects are in memory."""
    return {type(found).__name__ for found in gc.get_objects() if isinstance(found, Exchange | Upstream | Visitor)}


def test_nothing_is_left_of_the_exchange_when_it_has_become_a_stream() -> None:
    with hall() as door:
        gc.collect()
        gc.disable()
        try:
            client = door.connect()
            backend = door.ask(client, UPGRADE)
            assert left() == {"Exchange", "Upstream", "Visitor"}
            backend.sendall(SWITCHED)
            door.read(client)
            assert not left(), "thousands of them would wait for a collection"
        finally:
            gc.enable()


# -- ends -------------------------------------------------------------------------------------------------------------


def finish(door: Hall, client: socket.socket) -> bytes:
    """All that comes until the end."""
    got = b""
    while data := door.read(client):
        got += data
    return got


def test_a_door_that_is_closed_ends_each_connection_with_its_answer() -> None:
    with hall() as door:
        idle, busy, new = door.connect(), door.connect(), door.connect()
        kept = door.ask(idle)
        kept.sendall(OK)
        assert door.read(idle) == OK
        backend = door.ask(busy, POST + b"body")
        door.exchanges.closing(door.gate)
        assert door.read(idle) == b""
        backend.sendall(OK)
        assert b"\r\nConnection: close\r\n" in finish(door, busy)
        new.sendall(GET)
        assert door.read(backend).startswith(b"GET")
        backend.sendall(OK)
        assert b"\r\nConnection: close\r\n" in finish(door, new), "who was let in is answered"


def test_the_connection_that_has_been_idle_for_the_longest_makes_room() -> None:
    with hall() as door:
        clients = [door.connect() for _ in range(3)]
        for client in (clients[1], clients[0]):
            client.sendall(GET)
            door.read(backend := door.backend()) if client is clients[1] else door.read(backend)
            backend.sendall(OK)
            door.read(client)
            if client is clients[1]:
                assert not door.exchanges.make_room(door.gate), "it may be about to go on"
            door.later(1)
        assert door.exchanges.make_room(door.gate)
        assert door.read(clients[1]) == b""
        assert door.exchanges.make_room(door.gate)
        assert door.read(clients[0]) == b""
        assert not door.exchanges.make_room(door.gate), "who was just accepted is not idle"


def test_an_error_of_our_own_ends_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with hall() as door:
        client, other = door.connect(), door.connect()
        backend = door.ask(client)
        with monkeypatch.context() as patch:
            patch.setattr(door.exchanges, "keep", lambda upstream, exchange: 1 / 0)
            backend.sendall(OK)
            door.turn()
        assert [type(error) for error in door.broken] == [ZeroDivisionError]
        door.broken.clear()
        assert door.ended == {"lost": 1}
        door.ask(other).sendall(OK)
        assert door.read(other) == OK
