"""Many requests by one curl: what it is told, and what it says of each. Pure.

A curl takes a processor 8 ms to start, and a run of all scenarios asks four hundred times.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import LabError

COMMAND = ("curl", "--config", "-")
"""The command; its input is what `told` gives. Its exit code is that of the last request alone."""
_MOST_BYTES = 1_000_000
_WORDS = "%{exitcode} %{http_code} %{time_connect} %{time_pretransfer} %{errormsg}"
_RESULT = r"\n%s (\d+) (\d+) ([\d.]+) ([\d.]+) ([^\n]*)\n"


@dataclass(frozen=True)
class Request:
    """One request."""

    url: str
    proxy: str = ""
    """The proxy's URL; without one, none of the environment's either."""
    address: str = ""
    """Where the connection goes, if not to where the URL leads; of IPv6 in brackets."""


@dataclass(frozen=True)
class Curled:
    """What curl said of one request, in its own words (curl(1), --write-out)."""

    content: str
    exitcode: str
    http_code: str
    time_connect: str
    time_pretransfer: str
    errormsg: str

    @property
    def status(self) -> int:
        """The HTTP status; 0 where there was no HTTP answer."""
        return int(self.http_code)


def told(requests: Sequence[Request], mark: str, seconds: float) -> str:
    """The requests as curl's configuration (curl(1), --config), to be made one after the other.

    Each has a connection of its own, as if it were the only one.

    Args:
        requests: what is asked for.
        mark: begins each result; who answers must not know it, so that no body can forge one.
        seconds: how long each may take.
    """
    parts = []
    for request in requests:
        proxy = ("proxy", request.proxy) if request.proxy else ("noproxy", "*")
        options = [
            proxy,
            ("max-time", f"{seconds:g}"),
            ("max-filesize", str(_MOST_BYTES)),
            ("header", "Connection: close"),
            ("write-out", f"\n{mark} {_WORDS}\n"),
            ("url", request.url),
        ]
        if request.address:
            options.append(("connect-to", f"::{request.address}:"))
        parts.append("silent\ngloboff\ninclude\n" + "".join(f"{n} = {_quoted(v)}\n" for n, v in options))
    return "next\n".join(parts)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def said(printed: str, mark: str, number: int) -> list[Curled]:
    """What became of each request, in their order.

    Args:
        printed: what curl printed.
        mark: the mark that it was told.
        number: how many requests there were.

    Raises:
        LabError: it does not say what became of all.
    """
    results, end = [], 0
    for found in re.finditer(_RESULT % re.escape(mark), printed):
        results.append(Curled(printed[end : found.start()], *found.groups()))
        end = found.end()
    if len(results) != number:
        raise LabError(
            f"curl was to ask {number} times, and says what became of {len(results)}", log=printed[end:]
        )
    return results
