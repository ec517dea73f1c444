import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.config.addresses import check_runtime_dir, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("LocalHost:080", "localhost:80"),
        ("my-app.internal:0", "my-app.internal:0"),
        ("[::1]:8080", "[::1]:8080"),
        ("[0:0:0:0:0:0:0:1]:65535", "[::1]:65535"),
        ("[fe80::1%eth0]:80", "[fe80::1%eth0]:80"),
        ("unix:app.sock", "unix:/srv/app.sock"),
        ("unix:./run/../app.sock", "unix:/srv/app.sock"),
        ("unix:/tmp/app.sock", "unix:/tmp/app.sock"),
        ("systemd:web", "systemd:web"),
        ("systemd:frontdoor.socket", "systemd:frontdoor.socket"),
        ("systemd:0", "systemd:0"),
        (f"systemd:{'n' * 255}", f"systemd:{'n' * 255}"),
    ],
)
def test_an_address_has_one_form(text: str, address: str) -> None:
    assert parse_address(text, "/srv") == address
    assert parse_address(address, "/elsewhere") == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8080", '"8080" has no host: for every interface write "0.0.0.0:8080" or "[::]:8080"'),
        (":8080", '":8080" has no host: for every interface write "0.0.0.0:8080" or "[::]:8080"'),
        ("*:8080", '"*:8080" has no host: for every interface write "0.0.0.0:8080" or "[::]:8080"'),
        ("localhost", '"localhost" has no port: write "host:port", "[::1]:8080", "unix:path" or "systemd:NAME"'),
        ("[::1]", '"[::1]" has no port: write "host:port", "[::1]:8080", "unix:path" or "systemd:NAME"'),
        ("", '"" has no port: write "host:port", "[::1]:8080", "unix:path" or "systemd:NAME"'),
        ("a:65536", '"a:65536": the port must be a number from 0 to 65535'),
        ("a:-1", '"a:-1": the port must be a number from 0 to 65535'),
        ("a:", '"a:": the port must be a number from 0 to 65535'),
        ("a:http", '"a:http": the port must be a number from 0 to 65535'),
        ("a:٣", '"a:٣": the port must be a number from 0 to 65535'),
        ("256.0.0.1:80", '"256.0.0.1:80": "256.0.0.1" is not an IPv4 address'),
        ("[::g]:80", '"[::g]:80": "::g" is not an IPv6 address'),
        ("::1:8080", '"::1:8080": an IPv6 address stands in brackets: write "[::1]:8080"'),
        ("a b:80", '"a b:80": "a b" is not a host name'),
        ("http://a:80", '"http://a:80": "http://a" is not a host name'),
        ("unix:", '"unix:" has no path: write "unix:run/app.sock"'),
        (
            "unix:@app",
            '"unix:@app": abstract sockets are not offered; write a path ("unix:./@app" for a file of that name)',
        ),
        ("systemd:", '"systemd:" has no name: write "systemd:web", for FileDescriptorName=web'),
        (
            "systemd:a:b",
            (
                '"systemd:a:b": the name of a socket of systemd has at most 255 printable ASCII characters, and no '
                "colon (systemd.socket(5), FileDescriptorName=)"
            ),
        ),
    ],
)
def test_what_is_no_address_is_refused_with_what_to_write(text: str, message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole message is compared below
        parse_address(text, "/srv")
    assert str(refused.value) == message


@given(st.text() | st.text(alphabet="[]:.1a*%"))
def test_no_text_is_too_odd(text: str) -> None:
    try:
        address = parse_address(text, "/srv")
    except ValueError as refused:
        assert "\n" not in str(refused)  # noqa: PT017 - most texts are refused, and some are addresses
    else:
        assert parse_address(address, "/srv") == address


def test_a_socket_path_of_107_bytes_fits_and_one_of_108_does_not() -> None:
    path = "/" + "x" * 106
    assert parse_address(f"unix:{path}", "/srv") == f"unix:{path}"
    with pytest.raises(ValueError, match=f"^the socket path {path}y has 108 bytes, and the limit is 107;"):
        parse_address(f"unix:{path}y", "/srv")


def test_bytes_count_and_not_characters() -> None:
    with pytest.raises(ValueError, match="has 121 bytes"):
        parse_address(f"unix:/{'ä' * 60}", "/srv")


def test_a_runtime_dir_leaves_room_for_the_longest_backend_socket() -> None:
    fits = "/" + "x" * (107 - len("//g999999/99.sock"))
    check_runtime_dir(fits)
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole message is compared below
        check_runtime_dir(f"{fits}y")
    assert str(refused.value) == (
        f"the socket path {fits}y/g999999/99.sock has 108 bytes, and the limit is 107; "
        f"set a shorter [frontdoor] runtime_dir"
    )


def test_a_door_with_a_folder_of_its_own_has_less_room() -> None:
    fits = "/" + "x" * (107 - len("//api/g999999/99.sock"))
    check_runtime_dir(fits, "api")
    with pytest.raises(ValueError, match="or choose a shorter name than apis for that door"):
        check_runtime_dir(fits, "apis")
