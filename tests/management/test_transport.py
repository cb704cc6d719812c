"""HTTP over exec streams, and commands, in a real container of a real engine."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from harness.errors import LabError
from harness.lab.running_host import RunningHost
from tests.management.conftest import PORT

pytestmark = pytest.mark.lab

MEGABYTE = 1024 * 1024
ADDRESS = f"TCP:127.0.0.1:{PORT}"


@pytest.fixture
def web(host: RunningHost) -> Iterator[httpx.Client]:
    with httpx.Client(
        transport=host.transport("socat", "-", ADDRESS), base_url="http://alone", timeout=20
    ) as web:
        yield web


def test_a_connection_is_kept_and_used_again(web: httpx.Client) -> None:
    ports = {web.get("/connection").text for _ in range(5)}
    assert len(ports) == 1


def test_requests_at_once_have_connections_of_their_own(web: httpx.Client) -> None:
    with ThreadPoolExecutor(4) as pool:
        sizes = list(pool.map(lambda n: len(web.get(f"/{n}").content), range(1000, 1012)))
    assert sizes == list(range(1000, 1012))


def test_a_connection_that_the_server_closes_is_replaced(web: httpx.Client) -> None:
    first = web.get("/close").text
    second = web.get("/close").text
    assert first != second


def test_a_megabyte_each_way(web: httpx.Client) -> None:
    body = bytes(range(256)) * (MEGABYTE // 256)
    assert web.post("/echo", content=body).content == body
    assert len(web.get(f"/{3 * MEGABYTE}").content) == 3 * MEGABYTE


def test_a_body_is_read_as_it_comes(web: httpx.Client) -> None:
    with web.stream("GET", "/stream") as response:
        lines = response.iter_lines()
        assert next(lines) == "one"
        # The server says the rest only after this, so the first line cannot have waited for the end.
        assert web.post("/go").is_success
        assert list(lines) == ["two"]


@pytest.mark.parametrize("path", ["/dies-in-a-body", "/dies-in-a-chunk", "/dies-at-once"])
def test_a_server_that_dies_is_an_error_and_no_short_answer(web: httpx.Client, path: str) -> None:
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        web.get(path)
    assert web.get("/5").text == "xxxxx"


def test_a_body_that_breaks_off_while_it_is_read_is_an_error(web: httpx.Client) -> None:
    with (
        web.stream("GET", "/dies-in-a-body") as response,
        pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)),
    ):
        list(response.iter_bytes())


def test_a_server_that_says_nothing_is_waited_for_no_longer_than_asked(host: RunningHost) -> None:
    with (
        httpx.Client(transport=host.transport("sleep", "100"), base_url="http://alone") as silent,
        pytest.raises(httpx.ReadTimeout),
    ):
        silent.get("/", timeout=0.2)


def test_nobody_listens(host: RunningHost) -> None:
    with (
        httpx.Client(transport=host.transport("socat", "-", "TCP:127.0.0.1:1"), base_url="http://x") as web,
        pytest.raises(httpx.TransportError),
    ):
        web.get("/")


def test_exit_codes_and_streams(host: RunningHost) -> None:
    result = host.run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (result.exit_code, result.stdout, result.stderr) == (7, "out\n", "err\n")
    assert result.host == "alone"
    assert 0 < result.seconds < 10
    assert host.run("true").expect().exit_code == 0
    assert host.run("sh", "-c", "kill -9 $$").exit_code == 137


def test_what_was_said_before_anybody_listened_is_not_lost(host: RunningHost) -> None:
    """The first frames may come together with the engine's answer."""
    for number in range(20):
        assert host.run("echo", str(number)).stdout == f"{number}\n"


def test_a_command_that_is_not_there(host: RunningHost) -> None:
    result = host.run("no-such-command")
    assert result.exit_code in (126, 127)
    with pytest.raises(LabError, match="no-such-command"):
        result.expect()


def test_input_and_environment(host: RunningHost) -> None:
    assert host.run("cat", stdin=b"hello").stdout == "hello"
    assert host.run("cat", stdin=iter([b"a", b"b"])).stdout == "ab"
    assert host.run("cat").stdout == ""
    assert host.run("sh", "-c", 'echo "$WORD"', environment={"WORD": "a b"}).stdout == "a b\n"


def test_megabytes_through_a_command(host: RunningHost) -> None:
    text = b"0123456789abcdef" * (4 * MEGABYTE // 16)
    result = host.run("cat", stdin=text)
    assert result.stdout.encode() == text
    both = host.run("sh", "-c", "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2")
    assert (len(both.stdout), len(both.stderr)) == (1000000, 1000000)


def test_a_command_may_leave_its_input_alone(host: RunningHost) -> None:
    result = host.run("sh", "-c", "exec <&-; echo enough; exit 4", stdin=b"x" * (8 * MEGABYTE))
    assert (result.exit_code, result.stdout) == (4, "enough\n")


def test_bytes_that_are_no_text(host: RunningHost) -> None:
    assert host.run("printf", r"\377ok").stdout == "\ufffdok"


def test_files_come_out(host: RunningHost) -> None:
    content = bytes(range(256)) * 1000
    host.run("sh", "-c", "cat > /srv/file", stdin=content).expect()
    assert host.fetch("/srv/file") == content
    with pytest.raises(LabError, match="alone: cannot read /no/such/file"):
        host.fetch("/no/such/file")


def test_an_open_stream_is_ended_by_its_owner(host: RunningHost) -> None:
    stream = host.open("sh", "-c", "echo $$; exec sleep 1000")
    pid = stream.read(100, timeout=10).decode().strip()
    host.run("sh", "-c", "kill -9 $0", pid).expect()
    assert stream.read(100, timeout=10) == b""
    assert stream.exit_code() == 137
    stream.close()


def test_the_host_has_no_network(host: RunningHost) -> None:
    links = host.run("ip", "-brief", "link").expect().stdout
    assert [line.split()[0] for line in links.splitlines()] == ["lo"]
