"""Which versions run in a lab: asked of the programs themselves, inside of their hosts."""

import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from harness.errors import LabError
from harness.lab.lab import Lab
from harness.lab.topology import ControlProgram

_NUMBER = re.compile(r"\bv?(\d+\.\d+\.\d+)\b")


def ask(lab: Lab) -> dict[str, frozenset[str]]:
    """Ask every host of a lab what it runs.

    Returns:
        Program to the versions that said so: one, unless the hosts are not of one mind. The members' is that
        of tailscaled as it runs; headscale is not there where labcontrol is the control server.

    Raises:
        LabError: a program does not say its version.
    """
    questions: list[tuple[str, Callable[[], str]]] = [
        ("nomad", lambda: lab.node.host.run("nomad", "version").expect().stdout),
        ("consul", lambda: lab.node.host.run("consul", "version").expect().stdout),
        *(("tailscale", lambda m=member: str(m.status()["Version"])) for member in lab.members.values()),
    ]
    if lab.topology.program is ControlProgram.HEADSCALE:
        questions.append(("headscale", lambda: lab.control.host.run("headscale", "version").expect().stdout))
    with ThreadPoolExecutor(len(questions), thread_name_prefix="versions") as pool:
        asked = [(program, pool.submit(answer)) for program, answer in questions]
    said: dict[str, frozenset[str]] = {}
    for program, answer in asked:
        said[program] = said.get(program, frozenset()) | {number(program, answer.result())}
    return said


def number(program: str, said: str) -> str:
    """The version in what a program says of itself. Raises LabError when there is none."""
    found = _NUMBER.search(said)
    if found is None:
        raise LabError(f"{program} does not say its version", log=said[:500])
    return found[1]


def check(said: Mapping[str, frozenset[str]], pinned: Mapping[str, str]) -> dict[str, str]:
    """Hold what runs against what was to run.

    Returns:
        The pinned versions of everything, without programs that have no part in this lab.

    Raises:
        LabError: a host runs another version.
    """
    for program, versions in said.items():
        if versions != {pinned[program]}:
            raise LabError(
                f"the lab runs {program} {' and '.join(sorted(versions))}, and was to run {pinned[program]}",
                remedy="make its images anew: `notailcar gc --all`, then `notailcar prepare`",
            )
    absent = {"headscale"} - said.keys()
    return {name: version for name, version in pinned.items() if name not in absent}
