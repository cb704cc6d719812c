"""The ledger: what is written comes back as it was, from memory and from the file."""

import json
import threading
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.ledger.facts import Fact, FlowSeen, LieTold, NameAsked, RequestSeen
from harness.ledger.ledger import History, Ledger, Observation, from_json, to_json

KINDS: tuple[type[Fact], ...] = get_args(Fact)
# A clock gives neither NaN nor infinity, and JSON has no words for them.
FINITE = st.floats(allow_nan=False, allow_infinity=False)
st.register_type_strategy(float, FINITE)
REQUEST = RequestSeen("udp", "198.51.100.20", 7, "198.18.80.80", "token", target="")
ASKED = NameAsked("203.0.113.10", "ünïcode.test\u2028\n\x00", "A")


def through_a_line(observation: Observation) -> Observation:
    return from_json(json.loads(json.dumps(to_json(observation), ensure_ascii=False, allow_nan=False)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(data=st.data())
def test_every_fact_comes_back(kind: type[Fact], data: st.DataObject) -> None:
    fact = data.draw(st.from_type(kind))
    observation = Observation(
        data.draw(st.integers(1)), data.draw(FINITE), "echo", "egress-worker", "control", fact
    )
    back = through_a_line(observation)
    assert back == observation
    assert type(back.fact) is kind
    assert to_json(observation)["fact"]["kind"] == kind.__name__
    hash(back)


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"number": 1},
        {"number": 1, "at": 1.0, "observer": "", "subject": "", "episode": "", "fact": {"kind": "Rumour"}},
        {"number": 1, "at": 1.0, "observer": "", "subject": "", "episode": "", "fact": {"kind": "LieTold"}},
    ],
)
def test_what_is_no_observation_is_an_error(broken: dict[str, object]) -> None:
    with pytest.raises((KeyError, ExceptionGroup)):
        from_json(broken)


def read(file: Path) -> list[Observation]:
    with file.open(encoding="utf-8", newline="\n") as stream:
        return [from_json(json.loads(line)) for line in stream]


def test_what_is_written_is_on_disk_at_once_and_in_order(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        first = ledger.write(REQUEST, observer="echo", subject="a", episode="control")
        assert read(ledger.file) == [first]
        ledger.write_all(
            [ASKED, LieTold("192.0.2.1", 1)], observer="dns", subject="b", episode="as-it-stands"
        )
        assert read(ledger.file) == list(ledger)
        assert [o.number for o in ledger] == [1, 2, 3]
        assert [o.fact for o in ledger] == [REQUEST, ASKED, LieTold("192.0.2.1", 1)]
        assert first.at <= read(ledger.file)[-1].at


def test_a_second_ledger_appends_to_the_same_file(tmp_path: Path) -> None:
    for _ in range(2):
        with Ledger(tmp_path / "ledger.jsonl") as ledger:
            ledger.write(REQUEST, observer="echo", subject="a", episode="control")
    assert [o.fact for o in read(tmp_path / "ledger.jsonl")] == [REQUEST, REQUEST]


def test_reading_goes_on_after_the_close_and_writing_does_not(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        written = ledger.write(REQUEST, observer="echo", subject="a", episode="control")
    assert list(ledger) == [written]
    with pytest.raises(ValueError, match="closed"):
        ledger.write(REQUEST, observer="echo", subject="a", episode="control")


def test_histories_are_told_apart_by_subject_episode_and_kind(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        one = ledger.write(REQUEST, observer="echo", subject="a", episode="control")
        two = ledger.write(ASKED, observer="dns", subject="a", episode="as-it-stands")
        ledger.write(ASKED, observer="dns", subject="b", episode="as-it-stands")
        history = ledger.history("a")
        assert history == History((one, two))
        assert history.episode("control") == History((one,))
        assert history.episode("control", "as-it-stands") == history
        assert history.of(NameAsked) == [(two, ASKED)]
        assert not history.of(FlowSeen)
        assert history
        assert not ledger.history("c")


def test_threads_share_a_ledger_without_loss(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.jsonl") as ledger:

        def observe(name: str) -> None:
            for number in range(100):
                ledger.write(LieTold(name, number), observer=name, subject="a", episode="control")

        threads = [threading.Thread(target=observe, args=(f"thread-{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [o.number for o in ledger] == list(range(1, 401))
        assert read(ledger.file) == list(ledger)
        for name in (f"thread-{n}" for n in range(4)):
            own = [f.asked for _, f in ledger.history("a").of(LieTold) if f.address == name]
            assert own == list(range(100))
