"""Servers that are away for a moment are asked again; what will not change by waiting is said at once."""

import ssl
import time
from collections.abc import Callable

import httpx
import pytest

from harness.management.patience import PatientTransport, is_about_trust

Answer = httpx.Response | Exception


class Server(httpx.BaseTransport):
    """Answers as it is told, the last answer again and again."""

    def __init__(self, *answers: Answer) -> None:
        self.asked: list[httpx.Request] = []
        self._answers = list(answers)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def ask(server: Server, seconds: float = 5, **options: str) -> httpx.Response:
    transport = PatientTransport(server, seconds, **options)
    with httpx.Client(transport=transport, base_url="http://nomad") as client:
        return client.get("/v1/jobs")


def leaderless() -> httpx.Response:
    return httpx.Response(500, text="No cluster leader")


@pytest.mark.parametrize(
    "away",
    [
        lambda: httpx.ConnectError("refused"),
        lambda: httpx.ConnectTimeout("late"),
        lambda: httpx.ReadError("reset"),
        lambda: httpx.RemoteProtocolError("cut"),
        leaderless,
        lambda: httpx.Response(500, text="rpc error: EOF"),
        lambda: httpx.Response(503, text="later"),
    ],
)
def test_it_is_asked_again(away: Callable[[], Answer]) -> None:
    server = Server(away(), away(), httpx.Response(200, text="[]"))
    assert ask(server).status_code == 200
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [200, 400, 403, 404, 429, 500])
def test_an_answer_is_an_answer(status: int) -> None:
    server = Server(httpx.Response(status, text="Permission denied"))
    assert ask(server).status_code == status
    assert len(server.asked) == 1


def test_the_last_word_is_given_when_the_time_is_over() -> None:
    began = time.monotonic()
    assert ask(Server(leaderless()), seconds=0.6).status_code == 500
    with pytest.raises(httpx.ConnectError, match="refused"):
        ask(Server(httpx.ConnectError("refused")), seconds=0.6)
    assert time.monotonic() - began > 1


def test_with_no_patience_it_is_asked_once() -> None:
    server = Server(leaderless())
    ask(server, seconds=0)
    assert len(server.asked) == 1


def test_a_certificate_that_is_not_trusted_stays_so() -> None:
    error = httpx.ConnectError("verify failed")
    error.__cause__ = ssl.SSLCertVerificationError("self-signed certificate")
    server = Server(error)
    with pytest.raises(httpx.ConnectError) as caught:
        ask(server)
    assert len(server.asked) == 1
    assert is_about_trust(caught.value)
    assert not is_about_trust(httpx.ConnectError("refused"))


def test_a_server_s_own_name_goes_with_the_request() -> None:
    server = Server(httpx.Response(200))
    ask(server, server_name="server.global.nomad")
    assert server.asked[0].extensions["sni_hostname"] == "server.global.nomad"
