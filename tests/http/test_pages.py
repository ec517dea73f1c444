"""The answers of frontdoor's own."""

import os

import h11
import pytest

from frontdoor.http.pages import STATUSES, Pages, load


def read(page: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
    """As a client reads it."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(page)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    return response, body


@pytest.mark.parametrize("status", STATUSES)
def test_a_small_page(status: int) -> None:
    response, body = read(Pages().page(status, "What has happened.", request_id="abc", close=False))
    headers = dict(response.headers)
    assert response.status_code == status
    assert headers[b"content-type"] == b"text/plain; charset=utf-8"
    assert headers[b"cache-control"] == b"no-store"
    assert b"date" in headers
    assert b"connection" not in headers
    assert body.startswith(b"%d " % status)
    assert b"What has happened." in body
    assert b"abc" in body


def test_what_it_can_say_besides() -> None:
    response, _ = read(Pages().page(503, "Later.", close=True, retry_after=120))
    headers = dict(response.headers)
    assert headers[b"retry-after"] == b"120"
    assert headers[b"connection"] == b"close"


def test_head_gets_no_body() -> None:
    page = Pages().page(502, "x", head=True, close=False)
    response, body = read(page, "HEAD")
    assert body == b""
    assert int(dict(response.headers)[b"content-length"]) > 0


def test_pages_of_the_user_s_own(tmp_path: os.PathLike[str]) -> None:
    with open(os.path.join(tmp_path, "502.html"), "w", encoding="utf-8") as file:
        file.write("<h1>{status} {reason}</h1><p>{message}</p>{request_id}{other} ä")
    with open(os.path.join(tmp_path, "style.css"), "w", encoding="utf-8") as file:
        file.write("is none of them")
    pages = Pages(load(os.fspath(tmp_path)))
    response, body = read(pages.page(502, "<script>", request_id='a"b', close=False))
    assert dict(response.headers)[b"content-type"] == b"text/html; charset=utf-8"
    assert body.decode() == "<h1>502 Bad Gateway</h1><p>&lt;script&gt;</p>a&quot;b{other} ä"
    _, other = read(pages.page(503, "x", close=False))
    assert other.startswith(b"503 ")


def test_a_message_is_never_taken_for_a_page() -> None:
    response, body = read(Pages().page(503, "<script>{status}</script>", close=False))
    assert dict(response.headers)[b"x-content-type-options"] == b"nosniff"
    assert b"<script>{status}</script>" in body
    _, body = read(Pages({503: b"<p>{message}"}).page(503, "{request_id} & {status}", request_id="a", close=False))
    assert body == b"<p>{request_id} &amp; {status}", "only what the user wrote has places in it"


@pytest.mark.parametrize("pages", [Pages(), Pages({503: b"{message}"})])
def test_a_message_that_is_no_text_is_said_as_far_as_it_goes(pages: Pages) -> None:
    """JSON can say half of a character."""
    _, body = read(pages.page(503, "back at 5 \ud83d", close=False))
    assert b"back at 5 ?" in body


def test_a_page_that_is_not_utf_8_is_refused(tmp_path: os.PathLike[str]) -> None:
    with open(os.path.join(tmp_path, "503.html"), "wb") as file:
        file.write(b"\xe4")
    with pytest.raises(ValueError, match=r"503\.html is not UTF-8"):
        load(os.fspath(tmp_path))


def test_nobody_waits_for_a_page_that_is_a_pipe(tmp_path: os.PathLike[str]) -> None:
    os.mkfifo(os.path.join(tmp_path, "503.html"))
    with pytest.raises(ValueError, match=r"503\.html is not a file"):
        load(os.fspath(tmp_path))


def test_a_folder_that_will_not_do(tmp_path: os.PathLike[str]) -> None:
    with pytest.raises(FileNotFoundError):
        load(os.path.join(tmp_path, "none"))
    open(os.path.join(tmp_path, "404.html"), "w").close()
    with pytest.raises(ValueError, match=r"404\.html"):
        load(os.fspath(tmp_path))
    os.rename(os.path.join(tmp_path, "404.html"), os.path.join(tmp_path, "502.html"))
    os.truncate(os.path.join(tmp_path, "502.html"), 2 << 20)
    with pytest.raises(ValueError, match=r"502\.html"):
        load(os.fspath(tmp_path))
