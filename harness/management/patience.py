"""HTTP to servers that may be away for a moment: a cluster that elects a leader, a connection that is cut."""

import ssl
from collections.abc import Iterator

import httpx
from tenacity import RetryCallState, Retrying, stop_after_delay, wait_fixed

_PAUSE = 0.25  # seconds
_AWAY = (502, 503, 504)
_LEADERLESS = (
    "No cluster leader",
    "leadership lost",
    "No path to region",
    "raft is already shutdown",
    "failed to get conn",
    "rpc error: EOF",
)
"""What a Nomad server says with status 500 while there is nobody to ask (nomad, structs/errors.go)."""


class PatientTransport(httpx.BaseTransport):
    """Owns another transport, and asks it again where nobody was there to answer.

    What is asked again may have been done already, the first answer having been lost: so it is for requests
    that come to the same when they are made twice, as all of the harness's are.
    """

    def __init__(self, inner: httpx.BaseTransport, seconds: float, *, server_name: str = "") -> None:
        """Take a transport, the seconds that a server may be away, and its name in its certificate."""
        self._inner = inner
        self._seconds = seconds
        self._server_name = server_name

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Raises httpx's transport errors, the last one, once the time is over."""
        if self._server_name:
            request.extensions = {**request.extensions, "sni_hostname": self._server_name}
        retrying = Retrying(
            wait=wait_fixed(_PAUSE),
            stop=stop_after_delay(self._seconds),
            retry=_is_away,
            # The answer, or the error, of the last try is the answer.
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        answer: httpx.Response = retrying(self._send, request)
        return answer

    def _send(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        if response.status_code == httpx.codes.INTERNAL_SERVER_ERROR or response.status_code in _AWAY:
            response.read()
        return response

    def close(self) -> None:
        """Close the other transport."""
        self._inner.close()


def _is_away(state: RetryCallState) -> bool:
    outcome = state.outcome
    if outcome is None:
        return False
    if error := outcome.exception():
        return isinstance(error, httpx.TransportError) and not is_about_trust(error)
    response: httpx.Response = outcome.result()
    if response.status_code in _AWAY:
        return True
    said = response.text if response.status_code == httpx.codes.INTERNAL_SERVER_ERROR else ""
    return any(words in said for words in _LEADERLESS)


def is_about_trust(error: BaseException) -> bool:
    """Whether a connection failed because one side does not take the other's certificate."""
    return any(isinstance(cause, ssl.SSLError) for cause in causes(error))


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and all that led to it, nearest first."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
