"""What hold.py does with containers of the node's engine: it holds those that work, in the middle of it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.lab.lab import Lab
from harness.supply import catalogue
from harness.supply.pins import load_pins

pytestmark = pytest.mark.lab

HOLD = "/notailcar/hold.py"
BUSY = "import time\nfor _ in range(200): time.sleep(0.01)"
"""Works for two seconds, most of which it must still have before it when it is held."""
CONNECTS = """
import socket, time
server = socket.create_server(("127.0.0.1", 0))
time.sleep(0.1)
client = socket.create_connection(server.getsockname())
time.sleep(60)
"""
FORKS = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', '''{CONNECTS}'''])"


@contextmanager
def containers(lab: Lab, **programs: str) -> Iterator[list[str]]:
    """What hold.py says of containers that run these Python programs, by their names."""
    node = lab.node.host
    image = catalogue.official_images(load_pins())["example-python"]
    stream = node.open(HOLD, "20", *programs)
    try:
        for name, program in programs.items():
            node.run("docker", "run", "--detach", "--name", name, image, "python3", "-c", program).expect()
        said = b""
        while piece := stream.read(4096, 30):
            said += piece
        yield sorted(said.decode().splitlines())
    finally:
        stream.close()
        node.run("docker", "rm", "--force", *programs).expect()


def state(lab: Lab, name: str) -> str:
    return (
        lab.node.host.run("docker", "inspect", "--format", "{{.State.Status}}", name).expect().stdout.strip()
    )


# Each has a name of its own, as those of allocations have: hold.py is told of what has started before, too.
@pytest.mark.parametrize(("name", "program"), [("busy", BUSY), ("connects", CONNECTS), ("forks", FORKS)])
def test_one_that_works_is_held_and_goes_on(lab: Lab, name: str, program: str) -> None:
    with containers(lab, **{name: program}) as said:
        assert said == [f"held {name}"]
        assert state(lab, name) == "paused"
        lab.node.host.run("docker", "unpause", name).expect()
        assert state(lab, name) == "running"


def test_each_of_several_is_held(lab: Lab) -> None:
    with containers(lab, one=BUSY, two=CONNECTS) as said:
        assert said == ["held one", "held two"]
        assert {state(lab, name) for name in ("one", "two")} == {"paused"}


def test_one_that_has_ended_is_lost(lab: Lab) -> None:
    with containers(lab, gone="") as said:
        assert said == ["lost gone"]
        assert state(lab, "gone") == "exited"
