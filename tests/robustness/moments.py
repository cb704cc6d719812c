"""Moments in the life of a run, awaited by what it prints, what its engine tells or its ledger holds."""

from harness.engine import Engine
from harness.management.waiting import wait_until
from tests.robustness import traces
from tests.robustness.commands import Command


def at_its_first_breath(_: Engine, run: Command) -> None:
    """It has its lock and its folder, and at most an engine."""
    wait_until(run.scratch.exists, seconds=20, what="the run has its folder", tail=lambda: run.output)


def in_boot(engine: Engine, run: Command) -> None:
    """Its first container has started; the others are being made."""
    traces.await_event(engine, run, "start")


def in_the_job(_: Engine, run: Command) -> None:
    """Its job's node has joined the tailnet, and the worker works."""
    run.wait_for_fact('"moment": "running"')


def in_the_guards_test(_: Engine, run: Command) -> None:
    """The job has run as it stands; two more run beside each other."""
    run.wait_for("proven +egress.dns")


def in_teardown(engine: Engine, run: Command) -> None:
    """The first of its containers has ended; the others are being removed."""
    traces.await_event(engine, run, "die")
