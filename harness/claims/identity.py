"""`identity.*`: what joins the tailnet carries its tags and nothing else, and is gone when the job is."""

from harness.claims.verdict import Expectation, Outcome, Verdict
from harness.claims.wording import count, listing
from harness.ledger.facts import AllocationSeen, Moment, TailnetNode, TailnetSeen
from harness.ledger.ledger import History, Observation

Snapshots = list[tuple[Observation, TailnetSeen]]


def _snapshots(history: History, moment: Moment) -> Snapshots:
    return [(o, seen) for o, seen in history.of(TailnetSeen) if seen.moment == moment]


def _ids(snapshots: Snapshots) -> set[str]:
    return {node.id for _, seen in snapshots for node in seen.nodes}


def _names(nodes: list[TailnetNode]) -> str:
    return listing(sorted({node.name or node.id for node in nodes}))


def tagged(history: History, expectation: Expectation) -> Verdict:
    """Judge whether every node that joined is ephemeral and has exactly the tags of the example.

    Args:
        history: episode as-it-stands.
        expectation: the tags.

    Returns:
        Refuted by a new node with other tags, or one that would outlive its allocation. Unproven when fewer
        nodes joined than allocations ran a sidecar, when none joined, or when the same list shows no older
        node whose tags are others.
    """
    before, running = _snapshots(history, Moment.BEFORE), _snapshots(history, Moment.RUNNING)
    if missing := _missing((Moment.BEFORE, before), (Moment.RUNNING, running)):
        return Verdict(Outcome.UNPROVEN, missing)
    old = _ids(before)
    telling = [(o, seen) for o, seen in running if _joined(seen, old)]
    if not telling:
        return Verdict(Outcome.UNPROVEN, "No node joined the tailnet.", tuple(o for o, _ in running))
    new = [node for _, seen in telling for node in _joined(seen, old)]
    others = [
        node
        for _, seen in telling
        for node in seen.nodes
        if node.id in old and set(node.tags) != expectation.tags
    ]
    controls = tuple(o for o, seen in telling if any(node in others for node in seen.nodes))
    faults = {fault for node in new if (fault := _fault(node, expectation))}
    if faults:
        return Verdict(
            Outcome.REFUTED,
            f"Expected an ephemeral node with {_tags(expectation.tags)}: {listing(sorted(faults), '; ')}.",
            tuple(o for o, seen in telling if any(_fault(n, expectation) for n in _joined(seen, old))),
            controls,
        )
    evidence = tuple(o for o, _ in telling)
    ran = _with_sidecars(history, expectation)
    if len({n.id for n in new}) < ran:
        return Verdict(
            Outcome.UNPROVEN,
            f"{count(ran, 'allocation')} ran a sidecar, but only {_names(new)} joined: each is to be a node "
            f"of its own.",
            evidence,
            controls,
        )
    if not controls:
        return Verdict(
            Outcome.UNPROVEN,
            f"{_names(new)} has {_tags(expectation.tags)}, but the list shows no older node with other tags.",
            evidence,
        )
    return Verdict(
        Outcome.PROVEN,
        f"{count(len({n.id for n in new}), 'node')} joined ({_names(new)}), ephemeral, with exactly "
        f"{_tags(expectation.tags)}; the same list shows {count(len({n.id for n in others}), 'older node')} "
        f"with other tags or none.",
        evidence,
        controls,
    )


def removed_after_stop(history: History, expectation: Expectation) -> Verdict:  # noqa: ARG001 - one form for all
    """Judge whether the nodes that joined are gone from the control server's list after the job's stop.

    A node is known by its id, so one that registers anew after the stop counts as left behind as well.

    Args:
        history: episode as-it-stands.
        expectation: not needed; every claim has the same form.

    Returns:
        Refuted when the last list after the stop has a node that was not there before the job. Unproven when
        no node joined, a list is missing, or that last list has lost lasting nodes of others too.
    """
    before, running, after = (
        _snapshots(history, moment) for moment in (Moment.BEFORE, Moment.RUNNING, Moment.AFTER)
    )
    if missing := _missing((Moment.BEFORE, before), (Moment.RUNNING, running), (Moment.AFTER, after)):
        return Verdict(Outcome.UNPROVEN, missing)
    last, seen = after[-1]
    old, left = _ids(before), {node.id for node in seen.nodes}
    new = [node for _, snap in running for node in _joined(snap, old)]
    controls = tuple(o for o, snap in running if _joined(snap, old))
    behind = [node for node in seen.nodes if node.id not in old]
    if behind:
        return Verdict(
            Outcome.REFUTED,
            f"{count(len(behind), 'node')} of the job still listed after its stop: {_names(behind)}.",
            (last,),
            controls,
        )
    if not new:
        return Verdict(Outcome.UNPROVEN, "No node joined the tailnet, so none could be removed.", (last,))
    lasting = [
        node
        for _, snap in running
        for node in snap.nodes
        if node.id in old and not node.ephemeral and node.id not in left
    ]
    if lasting or not left:
        return Verdict(
            Outcome.UNPROVEN,
            "The list after the stop is not to be relied on: "
            + (f"it lacks {_names(lasting)} too." if lasting else "it shows no other node either."),
            (last,),
            controls,
        )
    return Verdict(
        Outcome.PROVEN,
        f"{count(len({n.id for n in new}), 'node')} ({_names(new)}) listed while the job ran, none after its "
        f"stop; {count(len(left), 'other node')} still listed.",
        (last,),
        controls,
    )


def _with_sidecars(history: History, expectation: Expectation) -> int:
    return len(
        {
            seen.allocation
            for _, seen in history.of(AllocationSeen)
            if any(end.started and end.task in expectation.sidecars for end in seen.tasks)
        }
    )


def _joined(seen: TailnetSeen, old: set[str]) -> list[TailnetNode]:
    return [node for node in seen.nodes if node.id not in old]


def _fault(node: TailnetNode, expectation: Expectation) -> str:
    """Say what is wrong with a node that joined; empty where nothing is."""
    said = []
    if set(node.tags) != expectation.tags:
        said.append(f"has {_tags(node.tags)}" + (f" and the user {node.user}" if node.user else ""))
    if not node.ephemeral:
        said.append("is not ephemeral")
    return f"{node.name or node.id} {' and '.join(said)}" if said else ""


def _missing(*needed: tuple[Moment, Snapshots]) -> str:
    lacking = [str(moment) for moment, snapshots in needed if not snapshots]
    return f"The control server's list of nodes is missing: {', '.join(lacking)}." if lacking else ""


def _tags(tags: frozenset[str] | tuple[str, ...]) -> str:
    return ", ".join(sorted(tags)) or "no tags"
