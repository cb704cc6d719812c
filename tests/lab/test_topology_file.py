"""A topology file: what is wrong in it is named by file and key."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.assembly import default_topology
from harness.errors import EXIT_USAGE, UsageError
from harness.lab import topology_file

SHIPPED = default_topology().read_text(encoding="utf-8")
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str) -> Path:
        file = tmp_path / "mine.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return to_file


def refused(file: Path) -> UsageError:
    with pytest.raises(UsageError) as caught:
        topology_file.load(file)
    assert str(file) in caught.value.problem
    assert caught.value.exit_code == EXIT_USAGE
    return caught.value


def test_the_shipped_file_is_read() -> None:
    topology = topology_file.load(default_topology())
    assert [h.name for h in topology.hosts][:3] == ["control", "echo", "exit-a"]
    assert [str(a) for a in topology.host("node").v4] == ["203.0.113.10", "10.20.0.10"]


def test_a_policy_of_its_own_is_found_from_the_file(write: Write, tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text("{}")
    topology = topology_file.load(write(f'policy = "policy.json"\n{SHIPPED}'))
    assert topology.policy == str(tmp_path / "policy.json")
    assert topology_file.load(default_topology()).policy == ""


def test_a_policy_that_is_not_there(write: Write, tmp_path: Path) -> None:
    error = refused(write(f'policy = "policy.json"\n{SHIPPED}'))
    assert "policy names policy.json" in error.problem
    assert str(tmp_path / "policy.json") in str(error.remedy)


def test_what_the_harness_decides_is_no_key(write: Write) -> None:
    assert "lasting_agent" in str(refused(write(f"lasting_agent = true\n{SHIPPED}")))


def test_there_is_no_such_file(tmp_path: Path) -> None:
    assert "there is no such topology file" in refused(tmp_path / "missing.toml").problem


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert "cannot be read" in refused(tmp_path).problem


def test_not_text(tmp_path: Path) -> None:
    file = tmp_path / "latin.toml"
    file.write_bytes(b'name = "\xff"')
    assert "cannot be read" in refused(file).problem


def test_not_toml(write: Write) -> None:
    error = refused(write(SHIPPED.replace('name = "lab"', "name = lab", 1)))
    assert "not valid TOML" in error.problem
    assert "line 5" in error.problem


SPOILED = [
    ('name = "lab"', 'name = "lab"\ncolour = "red"', "line 6: colour: there is no such key"),
    ('role = "echo"', 'role = "echo"\ncolour = "red"', "line 23: host[1].colour: there is no such key"),
    ("exit_node = true", "exit_nodes = true", "line 38: host[2].tailnet.exit_nodes: there is no such key"),
    ("exit_node = true", 'exit_node = "no"', "line 38: host[2].tailnet.exit_node: 'no' is not true or false"),
    ('v4 = "198.51.100.53"', 'v4 = "198.51.100.53"\nv5 = ""', "line 10: internet.v5: there is no such key"),
    ('"198.18.80.80"', '"198.18.80.800"', "line 23: host[1].v4[0]: Octet 800 (> 255)"),
    ('"198.18.80.80"', '"2001:db8::1"', "line 23: host[1].v4[0]: "),
    ('"2001:db8:80::80"', '"198.18.0.1"', "line 24: host[1].v6[0]: "),
    ('["198.18.80.80"]', '"198.18.80.80"', "line 23: host[1].v4: '198.18.80.80' is not a list"),
    ('["tag:exit"]', '"tag:exit"', "line 37: host[2].tailnet.tags: 'tag:exit' is not a list"),
    ('"http:80/tcp"', '"http:80"', "line 29: host[1].listens[0]: 'http:80' is not of the form service:port"),
    ('"http:80/tcp"', '"http:99999/tcp"', "host[1].listens[0]: 'http:99999/tcp' is not"),
    ('"http:80/tcp"', "80", "host[1].listens[0]: '80' is not of the form"),
    (
        'role = "echo"',
        'role = "oracle"',
        "line 22: host[1].role: 'oracle' is none of control, acme, echo, member",
    ),
    ('role = "echo"\n', "", "line 20: host[1].role: is missing"),
    ('tailnet_domain = "tailnet.test"', "", "tailnet_domain: is missing"),
    ('name = "exit-b"', 'name = "exit-a"', "host.exit-a: the name is used 2 times"),
    ('"198.51.100.21"', '"198.51.100.20"', "198.51.100.20 is used twice: by exit-a and exit-b"),
    ('"tag:exit"', '"exit"', "host.exit-a.tailnet: 'exit' is not a tag"),
]


@pytest.mark.parametrize(("good", "bad", "named"), SPOILED, ids=[bad for _, bad, _ in SPOILED])
def test_spoiled(write: Write, good: str, bad: str, named: str) -> None:
    assert good in SHIPPED
    error = refused(write(SHIPPED.replace(good, bad, 1)))
    assert named in error.log


def test_an_empty_file_names_what_is_missing(write: Write) -> None:
    log = refused(write("")).log
    for key in ("name", "tailnet_domain", "internet", "host"):
        assert key in log


def test_many_problems_are_told_in_part(write: Write) -> None:
    hosts = "".join(f'[[host]]\nname = "X{n}"\nrole = "bystander"\nv4 = []\nv6 = []\n' for n in range(20))
    log = refused(write(SHIPPED + hosts)).log
    assert len(log.splitlines()) == 9
    assert log.endswith("and 32 more")


def test_images_of_ones_own(write: Write) -> None:
    own = SHIPPED.replace('name = "exit-a"\n', 'name = "exit-a"\nimage = "my-exit:1"\n')
    topology = topology_file.load(write(f'images = ["tools:3"]\n{own}'))
    assert topology.images == ("tools:3",)
    assert [h.image for h in topology.exits] == ["my-exit:1", ""]
    assert topology_file.load(default_topology()).images == ()


def test_names_that_jobs_speak_to_lead_to_the_echo_service() -> None:
    shipped = topology_file.load(default_topology())
    more = shipped.with_names(["api.example.com", "api.example.com", "echo.lab.test"])
    assert more.host("echo").names == ("echo.lab.test", "api.example.com")
    assert [h for h in more.hosts if h.name != "echo"] == [h for h in shipped.hosts if h.name != "echo"]
    assert shipped.with_names([]) == shipped
