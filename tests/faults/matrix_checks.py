"""Holds the runs of the matrix, and what took effect, to what they must be."""

from collections.abc import Mapping

from tests.faults.child_matrix import ChildCase, child_cases
from tests.faults.ledger import Key, Ledger
from tests.faults.matrix_world import Statuses, below, has_parked_below
from tests.faults.saga_matrix import cases

UNDONE = frozenset({"faulted", "compensated", "cancelled"})
"""How a run has ended of which nothing is left: it failed and undid what it had done, or had done nothing."""


def effects_of(ledger: Ledger, label: str) -> Mapping[Key, int]:
    """How often each thing took effect that the runs of a label did: once."""
    effects = {key: len(made) for key, made in ledger.effects.items() if key[0].startswith(f"{label}.")}
    assert {key: count for key, count in effects.items() if count > 1} == {}
    return effects


def check(ledger: Ledger, label: str, statuses: Statuses) -> None:
    """Each run ended as it may, and each step took effect as often as that says."""
    ends = {run.removeprefix(f"{label}."): status for run, status in statuses.items()}
    wrong = {case.name: ends[case.name] for case in cases() if case.name in ends and ends[case.name] not in case.ends}
    assert wrong == {}
    effects = effects_of(ledger, label)
    for case in cases():
        run = f"{label}.{case.name}"
        if ends.get(case.name) in ("compensated", "faulted"):
            done = {step for where, step, what in effects if where == run and what == "do"}
            undone = {step for where, step, what in effects if where == run and what == "undo"}
            assert undone == done, run


def check_children(ledger: Ledger, label: str, statuses: Statuses, *, mended: bool = False) -> None:
    """Parents and children ended as they may, together, and each step took effect as often as that says.

    `mended`: an operator had everything undone that could not be undone before.
    """
    effects_of(ledger, label)
    for case in child_cases():
        root = f"{label}.{case.name}"
        if root not in statuses:
            continue
        end = statuses[root]
        ends = {"compensated" if mended and end == "parked" else end for end in case.ends}
        tree = {run: statuses[run] for run in (root, *below(root, statuses))}
        assert end in ends, tree
        check_tree(ledger, case, end, tree)


def check_tree(ledger: Ledger, case: ChildCase, end: str, tree: Statuses) -> None:
    done = [(run, step) for run, step, what in ledger.order if run in tree and what == "do"]
    undone = [(run, step) for run, step, what in ledger.order if run in tree and what == "undo"]
    if end == "completed":
        assert set(tree.values()) == {"completed"}, tree
        assert undone == []
    elif end in UNDONE:
        assert set(tree.values()) <= UNDONE, tree
        assert sorted(undone) == sorted(done), tree
        if case.is_sequential:
            assert undone == done[::-1], tree
    else:
        assert set(undone) < set(done), tree
        stuck = [run for run, status in tree.items() if status == "parked" and not has_parked_below(run, tree)]
        assert len(stuck) == 1, tree
        above = [status for run, status in tree.items() if stuck[0].startswith(run + ".")]
        assert set(above) == {"parked"}, tree
