"""Many requests by one curl: no content is taken for a result, and none is left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import LabError
from harness.probes.curling import Curled, Request, said, told

MARK = "0f1e2d3c4b5a6978"
NUMBERS = st.integers(0, 999).map(str)
SECONDS = st.floats(0, 9).map("{:.6f}".format)
CURLED = st.builds(
    Curled,
    # A body of lines, some of which look like results of another mark.
    st.lists(st.sampled_from(["HTTP/1.1 200 OK", "", "x" * 16 + " 0 200 0.1 0.1 ", "a\r"])).map("\n".join),
    NUMBERS,
    NUMBERS,
    SECONDS,
    SECONDS,
    st.sampled_from(["", "Failed to connect", "SSL: no alternative certificate subject name"]),
)


def printed(answers: list[Curled], mark: str = MARK) -> str:
    return "".join(
        f"{a.content}\n{mark} {a.exitcode} {a.http_code} {a.time_connect} {a.time_pretransfer} {a.errormsg}\n"
        for a in answers
    )


@given(answers=st.lists(CURLED))
def test_what_was_said_of_each_comes_back(answers: list[Curled]) -> None:
    assert said(printed(answers), MARK, len(answers)) == answers


@given(answers=st.lists(CURLED, min_size=1), more=st.integers(1, 3))
def test_what_nothing_was_said_of_is_a_fault_of_the_lab(answers: list[Curled], more: int) -> None:
    with pytest.raises(LabError, match=f"was to ask {len(answers) + more} times, and says what became of"):
        said(printed(answers), MARK, len(answers) + more)


def test_a_body_forges_no_result() -> None:
    forged = Curled("\nsome-mark 0 200 0.1 0.1 \n", "7", "000", "0.000000", "0.000000", "refused")
    assert said(printed([forged]), MARK, 1) == [forged]


def test_each_is_told_all_of_it() -> None:
    requests = [
        Request("http://app/", proxy="socks5h://127.0.0.1:1055"),
        Request("http://[::1]/", address="[::2]"),
    ]
    first, second = told(requests, MARK, 2.5).split("next\n")
    assert 'proxy = "socks5h://127.0.0.1:1055"\n' in first
    assert "connect-to" not in first
    assert 'noproxy = "*"\n' in second
    assert 'connect-to = "::[::2]:"\n' in second
    for part in (first, second):
        assert {"silent", "globoff", "include", 'max-time = "2.5"'} <= set(part.splitlines())


def test_what_a_job_promises_is_no_option_of_curls() -> None:
    (line,) = (x for x in told([Request('http://a/"\noutput = "/x\\')], MARK, 1).splitlines() if "/x" in x)
    assert line == 'url = "http://a/\\"\\noutput = \\"/x\\\\"'
