"""The query log of the lab's DNS: dnsmasq's lines, read as facts. Pure."""

import re
from collections.abc import Iterator
from ipaddress import ip_address

from harness.ledger.facts import NameAsked

# "Nov 23 16:12:42 dnsmasq[1]: 7 203.0.113.10/40932 query[AAAA] headscale.lab.test from 203.0.113.10"
_QUERY = re.compile(r"query\[(?P<record>[^\]]+)\] (?P<name>\S+) from (?P<client>\S+)")


def read(text: str) -> Iterator[NameAsked]:
    """Every question in a piece of the log, in order."""
    for line in text.splitlines():
        if found := _QUERY.search(line):
            yield NameAsked(str(ip_address(found["client"])), found["name"].lower(), found["record"])
