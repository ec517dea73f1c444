"""A WebSocket that a drain can end politely: its stream knows where the backend's frames end (``traffic.framed``)."""

from functools import cache

from frontdoor.exchanges.exchange import Exchange
from frontdoor.http.head import AnswerHead
from frontdoor.http.websocket import Frames, close_frame
from frontdoor.traffic.relay import Relay
from frontdoor.traffic.stream import Stream

REASONS = {1001: "going away", 1012: "service restart", 1013: "try again later"}
"""What the registry of codes calls them (RFC 6455 §11.7). Others mean what the user wants them to mean."""


def follow(relay: Relay, stream: Stream, exchange: Exchange) -> None:
    """If the config asks for it, and it is a WebSocket that the exchange has become: follow its frames.

    To be called before a byte moves. What came behind the head of the answer has been sent on already.
    """
    code, answer = exchange.rules.websocket_close, exchange.answer
    if code and answer is not None and is_websocket(answer):
        frames = Frames()
        frames.feed(exchange.early)
        relay.follow(stream, frames, farewell(code))


def is_websocket(answer: AnswerHead) -> bool:
    """Whether that is what a backend speaks from a 101 on. A client may have offered several protocols, in any case."""
    spoken = [value.lower() for name, value in answer.fields if name.lower() == b"upgrade"]
    return spoken == [b"websocket"]


@cache
def farewell(code: int) -> bytes:
    """The last frame for the client."""
    return close_frame(code, REASONS.get(code, ""))
