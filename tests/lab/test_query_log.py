"""dnsmasq's query log, line by line."""

import pytest

from harness.lab import query_log
from harness.ledger.facts import NameAsked

LOG = """\
Nov 23 16:12:41 dnsmasq[1]: started, version 2.90 cachesize 150
Nov 23 16:12:42 dnsmasq[1]: 7 203.0.113.10/40932 query[AAAA] Headscale.Lab.Test from 203.0.113.10
Nov 23 16:12:42 dnsmasq[1]: 7 203.0.113.10/40932 config headscale.lab.test is 2001:db8:10::10
Nov 23 16:12:43 dnsmasq[1]: 8 2001:db8:113::10/5353 query[A] api.ipify.org from 2001:DB8:113:0::10
Nov 23 16:12:43 dnsmasq[1]: 8 2001:db8:113::10/5353 config api.ipify.org is 198.18.80.80
Nov 23 16:12:44 dnsmasq[1]: 9 198.51.100.20/1 query[type=65] echo.lab.test from 198.51.100.20
"""


def test_every_question_in_order() -> None:
    assert list(query_log.read(LOG)) == [
        NameAsked("203.0.113.10", "headscale.lab.test", "AAAA"),
        NameAsked("2001:db8:113::10", "api.ipify.org", "A"),
        NameAsked("198.51.100.20", "echo.lab.test", "type=65"),
    ]


def test_answers_are_no_questions() -> None:
    assert list(query_log.read("dnsmasq[1]: 7 203.0.113.10/1 config query.from.lab is 1.2.3.4\n")) == []
    assert list(query_log.read("")) == []


@pytest.mark.parametrize("cut", range(0, len(LOG), 7))
def test_two_pieces_hold_as_much_as_the_whole(cut: int) -> None:
    at = LOG.rfind("\n", 0, cut) + 1
    assert [*query_log.read(LOG[:at]), *query_log.read(LOG[at:])] == list(query_log.read(LOG))
