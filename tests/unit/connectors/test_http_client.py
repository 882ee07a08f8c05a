"""HttpClient against a real server that misbehaves on purpose."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.http.auth import TokenAuth
from connectors.http.breaker import CircuitBreaker
from connectors.http.budget import RequestBudget
from connectors.http.client import HttpClient
from connectors.http.exchange import Request, Response
from connectors.http.retry import Retry
from connectors.http.translation import Blame
from pilothouse.kernel.errors import ConfigError, CredentialsRejected, SourceContractChanged, SourceError, SourceUnavailable
from tests.unit.connectors.scripted_server import Answer, Asked, ScriptedServer, in_turn, serving

Connect = Callable[..., HttpClient]
QUICK = Retry(attempts=4, base=0.001, longest_pause=0.01, deadline=5)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with serving(lambda _: Answer()) as running:
        yield running


@pytest.fixture
def connect() -> Iterator[Callable[..., HttpClient]]:
    clients: list[HttpClient] = []

    def connect(url: str, **options: Any) -> HttpClient:
        options = {"retry": QUICK, "breaker": CircuitBreaker("s4", failures=50), "auth": ("me", "secret"), "timeout": 5.0, **options}
        clients.append(HttpClient("s4", url, **options))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def client(server: ScriptedServer, connect: Connect) -> HttpClient:
    return connect(server.url)


def test_a_success_comes_back_whole(server: ScriptedServer, client: HttpClient) -> None:
    server.script = lambda asked: Answer(body=asked.target.encode(), headers={"X-Mark": "7"})

    response = client.send(Request(url="/things?a=1", params={}))

    assert (response.status, response.headers["x-mark"], response.body) == (200, "7", b"/things?a=1")
    assert server.asked[0].headers["authorization"].startswith("Basic ")


def test_params_are_added_and_a_base_path_is_kept(server: ScriptedServer, connect: Connect) -> None:
    client = connect(server.url + "/base")

    client.send(Request(url="things", params={"$top": "5", "q": "a b&c"}))

    assert server.asked[0].path == "/base/things"
    assert server.asked[0].params == {"$top": "5", "q": "a b&c"}


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_transient_status_is_tried_again(server: ScriptedServer, client: HttpClient, status: int) -> None:
    server.script = in_turn(Answer(status=status), Answer(status=status), Answer(body=b'{"ok":1}'))

    assert client.send(Request(url="x")).body == b'{"ok":1}'
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("status", "expected", "hint"),
    [
        (400, SourceContractChanged, "does not take"),
        (401, CredentialsRejected, "PILOTHOUSE_SOURCES__S4__USER and PILOTHOUSE_SOURCES__S4__PASSWORD"),
        (403, CredentialsRejected, "authorisation"),
        (404, SourceContractChanged, "PILOTHOUSE_SOURCES__S4__URL"),
        (410, SourceContractChanged, "not offered"),
        (501, SourceContractChanged, "own words"),
    ],
)
def test_a_permanent_status_is_told_once(
    server: ScriptedServer, client: HttpClient, status: int, expected: type[SourceError], hint: str
) -> None:
    server.script = lambda _: Answer(status=status, body=b'{"error":{"message":"Nope, not today"}}')

    with pytest.raises(expected, match="Nope, not today") as caught:
        client.send(Request(url="x"))

    assert hint in caught.value.hint
    assert len(server.asked) == 1
    assert not caught.value.transient


def test_a_status_that_the_caller_knows_is_a_response(server: ScriptedServer, client: HttpClient) -> None:
    server.script = lambda _: Answer(status=410, media_type="text/html", body=b"gone")

    assert client.send(Request(url="x", answers=frozenset({410}))).status == 410


def test_a_redirect_is_not_followed_but_named(server: ScriptedServer, client: HttpClient) -> None:
    server.script = lambda _: Answer(status=302, headers={"Location": "https://login.example.com/"})

    with pytest.raises(SourceContractChanged, match=r"points to https://login\.example\.com/"):
        client.send(Request(url="x"))


def test_a_link_to_another_host_is_refused_before_it_is_asked(client: HttpClient) -> None:
    with pytest.raises(SourceContractChanged, match=r"leads to http://elsewhere\.example:80"):
        client.send(Request(url="http://elsewhere.example/next"))


def test_html_instead_of_json_says_what_the_page_says(server: ScriptedServer, client: HttpClient) -> None:
    page = b"<!DOCTYPE html><style>b{}</style><h1>Please log on</h1>"
    server.script = lambda _: Answer(media_type="text/html; charset=utf-8", body=page)

    with pytest.raises(SourceContractChanged, match=r"an HTML page instead of json: Please log on\n") as caught:
        client.send(Request(url="x"))

    assert "login page" in caught.value.hint


def test_a_wrong_content_type_is_refused(server: ScriptedServer, client: HttpClient) -> None:
    server.script = lambda _: Answer(media_type="application/atom+xml")

    with pytest.raises(SourceContractChanged, match=r"'application/atom\+xml' instead of json"):
        client.send(Request(url="x"))
    assert client.send(Request(url="x", expects="xml")).status == 200


def test_a_body_that_is_cut_is_read_again(server: ScriptedServer, client: HttpClient) -> None:
    server.script = in_turn(Answer(body=b"0123456789", cut_after=4), Answer(cut_after=0), Answer(body=b"0123456789"))

    assert client.send(Request(url="x")).body == b"0123456789"


def test_a_body_that_is_always_cut_is_unavailable(server: ScriptedServer, client: HttpClient) -> None:
    server.script = lambda _: Answer(body=b"0123456789", cut_after=4)

    with pytest.raises(SourceUnavailable, match="broke off"):
        client.send(Request(url="x"))
    assert len(server.asked) == QUICK.attempts


def test_a_body_that_the_opener_finds_cut_is_read_again(server: ScriptedServer, client: HttpClient) -> None:
    server.script = in_turn(Answer(body=b'{"a":'), Answer(body=b'{"a":1}'))

    def opened(response: Response) -> Any:
        try:
            return json.loads(response.body)
        except ValueError as error:
            raise SourceUnavailable("cut") from error

    assert client.fetch(Request(url="x"), opened) == {"a": 1}


def test_a_damaged_compressed_body_is_unavailable(server: ScriptedServer, client: HttpClient) -> None:
    server.script = lambda _: Answer(body=b"not gzip", headers={"Content-Encoding": "gzip"})

    with pytest.raises(SourceUnavailable, match="damaged"):
        client.send(Request(url="x"))


@pytest.mark.parametrize("compressed", [False, True])
def test_a_body_above_the_limit_is_refused_without_taking_the_memory(server: ScriptedServer, connect: Connect, *, compressed: bool) -> None:
    value = b'{"v":"' + b"x" * (20 * 2**20) + b'"}'
    server.script = lambda _: Answer(
        body=gzip.compress(value) if compressed else value, headers={"Content-Encoding": "gzip"} if compressed else {}
    )
    client = connect(server.url, largest_response=2**20)

    with pytest.raises(SourceContractChanged, match="larger than 1 MiB") as caught:
        client.send(Request(url="x"))

    assert "PILOTHOUSE_SOURCES__S4__PAGE_SIZE" in caught.value.hint
    assert len(server.asked) == 1


def test_a_post_is_not_repeated_unless_it_says_so(server: ScriptedServer, client: HttpClient) -> None:
    server.script = lambda _: Answer(status=503)

    with pytest.raises(SourceUnavailable):
        client.send(Request(url="x", method="POST", body=b"{}"))
    assert len(server.asked) == 1
    with pytest.raises(SourceUnavailable):
        client.send(Request(url="x", method="POST", body=b"{}", repeatable=True))
    assert len(server.asked) == 1 + QUICK.attempts


def test_retry_after_is_waited_for(server: ScriptedServer, client: HttpClient) -> None:
    server.script = in_turn(Answer(status=429, headers={"Retry-After": "0.3"}), Answer())

    client.send(Request(url="x"))

    assert server.asked[1].at - server.asked[0].at >= 0.3


def test_a_retry_after_beyond_the_deadline_is_told_instead_of_waited_for(server: ScriptedServer, client: HttpClient) -> None:
    server.script = lambda _: Answer(status=429, headers={"Retry-After": "3600"})

    with pytest.raises(SourceUnavailable) as caught:
        client.send(Request(url="x"))

    assert caught.value.retry_after == 3600
    assert len(server.asked) == 1


def test_a_silent_server_is_given_up_in_time(server: ScriptedServer, connect: Connect) -> None:
    server.script = lambda _: Answer(after=1.0)
    client = connect(server.url, timeout=0.1, retry=Retry(attempts=2, base=0.001))

    with pytest.raises(SourceUnavailable, match="did not answer in time") as caught:
        client.send(Request(url="x"))
    assert "PILOTHOUSE_SOURCES__S4__TIMEOUT" in caught.value.hint


def test_a_port_where_nobody_listens_is_unavailable(connect: Connect) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        client = connect(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(SourceUnavailable, match="no connection") as caught:
            client.send(Request(url="x"))
    assert "PILOTHOUSE_SOURCES__S4__URL" in caught.value.hint


def test_a_host_that_does_not_exist_is_unavailable(connect: Connect) -> None:
    with pytest.raises(SourceUnavailable, match=r"no connection to http://no-such-host\.invalid"):
        connect("http://no-such-host.invalid", retry=Retry(attempts=1)).send(Request(url="x"))


def test_an_open_circuit_fails_at_once_and_says_when_it_is_tried_again(server: ScriptedServer, connect: Connect) -> None:
    server.script = lambda _: Answer(status=503)
    client = connect(server.url, breaker=CircuitBreaker("s4", failures=2, rest=60))

    with pytest.raises(SourceUnavailable, match=r"not asked.*tried again at \d\d:\d\d:\d\d UTC"):
        client.send(Request(url="x"))
    with pytest.raises(SourceUnavailable, match="not asked"):
        client.send(Request(url="x"))
    assert len(server.asked) == 2


def test_a_client_keeps_to_its_budget(server: ScriptedServer, connect: Connect) -> None:
    client = connect(server.url, budget=RequestBudget("s4", most=2, window=60, patience=1, setting="THE_SETTING"))
    client.send(Request(url="x"))
    client.send(Request(url="x"))

    with pytest.raises(SourceUnavailable, match="budget of 2 requests in 60 s") as caught:
        client.send(Request(url="x"))

    assert "THE_SETTING" in caught.value.hint
    assert len(server.asked) == 2


def test_closing_wakes_a_client_that_waits_for_a_retry(server: ScriptedServer, connect: Connect) -> None:
    server.script = lambda _: Answer(status=503, headers={"Retry-After": "30"})
    client = connect(server.url, retry=Retry(deadline=60))
    errors: list[BaseException] = []

    def read() -> None:
        try:
            client.send(Request(url="x"))
        except SourceError as error:
            errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    give_up = time.monotonic() + 5
    while not server.asked and time.monotonic() < give_up:
        time.sleep(0.01)
    client.close()
    reader.join(5)
    assert not reader.is_alive()
    assert "closed" in str(errors[0])


def test_a_stream_comes_in_pieces_and_without_a_limit(server: ScriptedServer, connect: Connect) -> None:
    server.script = lambda _: Answer(body=b"x" * 3_000_000, media_type="text/csv", headers={"Locator": "n"})
    client = connect(server.url, largest_response=1000)

    with client.stream(Request(url="x", expects="csv")) as (response, pieces):
        sizes = [len(piece) for piece in pieces]

    assert response.headers["locator"] == "n"
    assert sum(sizes) == 3_000_000
    assert len(sizes) > 10


def test_a_stream_that_breaks_off_is_unavailable(server: ScriptedServer, client: HttpClient) -> None:
    server.script = lambda _: Answer(body=b"x" * 100_000, media_type="text/csv", cut_after=50_000)

    with client.stream(Request(url="x", expects="csv")) as (_, pieces), pytest.raises(SourceUnavailable, match="broke off"):
        list(pieces)


def test_a_token_is_fetched_once_and_renewed_when_it_is_refused(server: ScriptedServer, connect: Connect) -> None:
    issued: list[str] = []

    def script(asked: Asked) -> Answer:
        if asked.path == "/token":
            assert asked.headers["authorization"].startswith("Basic ")
            assert asked.body == b"grant_type=client_credentials"
            issued.append(f"t{len(issued) + 1}")
            return Answer(body=json.dumps({"access_token": issued[-1], "expires_in": 3600}).encode())
        return Answer(status=401 if asked.headers["authorization"] == "Bearer t1" and asked.path == "/second" else 200)

    server.script = script
    auth = TokenAuth(server.url + "/token", lambda: {"grant_type": "client_credentials"}, Blame(source="s4"), basic=("id", "secret"))
    client = connect(server.url, auth=auth)

    for path in ("first", "second", "third"):
        assert client.send(Request(url=path)).status == 200

    assert issued == ["t1", "t2"]
    assert auth.answer["access_token"] == "t2"


@pytest.mark.parametrize(
    ("answer", "expected", "message"),
    [
        (Answer(status=400, body=b'{"error":"invalid_client"}'), CredentialsRejected, "invalid_client"),
        (Answer(status=401), CredentialsRejected, "answered 401"),
        (Answer(status=503), SourceUnavailable, "answered 503"),
        (Answer(body=b"[]"), SourceContractChanged, "without an access_token"),
        (Answer(body=b"<html>"), SourceContractChanged, "without an access_token"),
    ],
)
def test_a_token_endpoint_that_refuses_is_named(
    server: ScriptedServer, answer: Answer, expected: type[SourceError], message: str, connect: Connect
) -> None:
    server.script = lambda _: answer
    blame = Blame(source="s4", credentials=("client_id", "client_secret"))
    client = connect(server.url, auth=TokenAuth(server.url + "/token", dict, blame), retry=Retry(attempts=1))

    with pytest.raises(expected, match=message):
        client.send(Request(url="x"))


def test_a_certificate_of_an_unknown_authority_names_the_setting(tmp_path: Path, connect: Connect) -> None:
    certificate, key = _self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(lambda _: Answer()) as server:
        server._http.socket = context.wrap_socket(server._http.socket, server_side=True)
        url = server.url.replace("http:", "https:")

        with pytest.raises(CredentialsRejected, match="certificate") as caught:
            connect(url).send(Request(url="x"))
        assert "PILOTHOUSE_SOURCES__S4__VERIFY" in caught.value.hint
        assert connect(url, verify=certificate).send(Request(url="x")).status == 200


def test_a_certificate_authority_that_cannot_be_read_is_a_config_error(tmp_path: Path, connect: Connect) -> None:
    with pytest.raises(ConfigError, match="no certificate authority can be read"):
        connect("https://127.0.0.1", verify=tmp_path / "missing.pem")


def test_no_secret_is_in_an_error(server: ScriptedServer, client: HttpClient) -> None:
    server.script = lambda _: Answer(status=404)

    with pytest.raises(SourceContractChanged) as caught:
        client.send(Request(url="x", params={"token": "hush"}))

    assert "secret" not in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_url_that_cannot_be_asked_is_told(client: HttpClient) -> None:
    with pytest.raises(SourceContractChanged, match="no address"):
        client.send(Request(url="http://[::1"))


def test_the_client_takes_httpx_auth_of_any_kind(server: ScriptedServer, connect: Connect) -> None:
    connect(server.url, auth=httpx.BasicAuth("a", "b")).send(Request(url="x"))

    assert server.asked[0].headers["authorization"] == "Basic YTpi"


def _self_signed(folder: Path) -> tuple[Path, Path]:
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return paths
