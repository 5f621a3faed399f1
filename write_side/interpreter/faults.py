"""What becomes of an error: caught by a `try`, survived by a race, tried again, or the end of the run."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import JsonValue

from events.run import RunErrorCaught, RunEvent, RunFaulted, RunTaskCancelled, RunTaskFaulted
from events.run_compensation import RunFailing
from events.run_parts import RunError
from write_side.definition.errors import Catch, ErrorFilter, RetryPolicy
from write_side.definition.tasks import ForkTask, TryTask
from write_side.interpreter.compensating import compensation_failed, has_children, undo, waited_for
from write_side.interpreter.doubt import given_up
from write_side.interpreter.errors import Raised, same_type
from write_side.interpreter.scope import Run, holds, seconds
from write_side.interpreter.state import Node, is_branch

RETRIES_MAX = 1_000
DELAY_S_MAX = 30 * 86_400.0


def fault(run: Run, node: Node) -> Sequence[RunEvent]:
    """What follows from a task that has failed."""
    assert node.error is not None
    surviving = survivor(run, node, node.error)
    if surviving is None:
        return _fault_run(run, node.error)
    above = run.state.nodes[node.parent]
    if surviving.task == above.task and surviving.kind == "fork":
        return [RunTaskCancelled(task=node.task)]
    if surviving.task == above.task:
        return [_caught(run, above, node.error)]
    for other in run.state.below(above.task):
        if other != node.task:
            return [given_up(run, other)]
    return [RunTaskFaulted(task=above.task, error=node.error)]


def survivor(run: Run, node: Node, error: RunError) -> Node | None:
    """The nearest task around this one that the error does not end: a `try` that catches it, or a race with others still in it."""
    inner, above = node, run.state.nodes.get(node.parent)
    while above is not None:
        if is_branch(above, inner.reference):
            task = run.plan.tasks[above.reference].task
            assert isinstance(task, ForkTask)
            if task.fork.compete and (above.children > 1 or above.again or above.begun < len(above.items or ())):
                return above
        if above.kind == "try" and above.section == above.reference + "/try" and _catches(run, above, error):
            return above
        inner, above = above, run.state.nodes.get(above.parent)
    return None


def _fault_run(run: Run, error: RunError) -> Sequence[RunEvent]:
    state = run.state
    if state.status == "compensating":
        return compensation_failed(run, error)
    if waited_for(run):
        return [RunFailing(error=error)]
    return undo(run, error) if state.done or has_children(run) else [RunFaulted(error=error)]


def _catch_of(run: Run, node: Node) -> Catch:
    task = run.plan.tasks[node.reference].task
    assert isinstance(task, TryTask)
    return task.catch


def _catches(run: Run, node: Node, error: RunError) -> bool:
    catch = _catch_of(run, node)
    if catch.errors is not None and catch.errors.with_ is not None and not _fits(catch.errors.with_, error):
        return False
    known: dict[str, JsonValue] = {catch.as_: error.model_dump(exclude_none=True)}
    try:
        if catch.when is not None and not holds(run, node, catch.when, node.input, known):
            return False
        if catch.except_when is not None and holds(run, node, catch.except_when, node.input, known):
            return False
        return catch.retry is None or catch.do is not None or _retry_at(run, node, catch, error) is not None
    except Raised:
        return False


def _fits(wanted: ErrorFilter, error: RunError) -> bool:
    asked = {name: getattr(wanted, name) for name in wanted.model_fields_set if name in RunError.model_fields}
    return all(
        same_type(value, error.type) if name == "type" else value == getattr(error, name)
        for name, value in asked.items()
    )


def _caught(run: Run, node: Node, error: RunError) -> RunErrorCaught:
    catch = _catch_of(run, node)
    retry_at = None if catch.retry is None else _retry_at(run, node, catch, error)
    return RunErrorCaught(task=node.task, error=error, attempt=node.attempt + 1, retry_at=retry_at)


def _retry_at(run: Run, node: Node, catch: Catch, error: RunError) -> datetime | None:
    """When a `try` is tried again; None if it is not."""
    named = catch.retry
    policy = run.plan.definition.use.retries[named] if isinstance(named, str) else named
    assert policy is not None
    known: dict[str, JsonValue] = {catch.as_: error.model_dump(exclude_none=True)}
    if policy.when is not None and not holds(run, node, policy.when, node.input, known):
        return None
    if policy.except_when is not None and holds(run, node, policy.except_when, node.input, known):
        return None
    retry_at = run.at + timedelta(seconds=_delay_s(run, node, policy, known))
    return None if _is_over(run, node, policy, retry_at, known) else retry_at


def _is_over(run: Run, node: Node, policy: RetryPolicy, retry_at: datetime, known: Mapping[str, JsonValue]) -> bool:
    count, limits = RETRIES_MAX, []
    if policy.limit is not None:
        limits.append(policy.limit.duration)
        if policy.limit.attempt is not None:
            limits.append(policy.limit.attempt.duration)
            count = RETRIES_MAX if policy.limit.attempt.count is None else policy.limit.attempt.count
    if node.attempt >= min(count, RETRIES_MAX):
        return True
    spent_s = (retry_at - node.started_at).total_seconds()
    return any(limit is not None and spent_s > seconds(run, node, limit, node.input, known) for limit in limits)


def _delay_s(run: Run, node: Node, policy: RetryPolicy, known: Mapping[str, JsonValue]) -> float:
    """The delay before the next attempt: grown by the backoff, with a jitter that is the same each time it is asked for."""
    attempt = node.attempt + 1
    delay_s = 0.0 if policy.delay is None else seconds(run, node, policy.delay, node.input, known)
    if policy.backoff is not None and policy.backoff.exponential is not None:
        delay_s *= 2 ** min(attempt - 1, 40)
    elif policy.backoff is not None and policy.backoff.linear is not None:
        delay_s *= attempt
    if policy.jitter is not None:
        bounds = (policy.jitter.from_, policy.jitter.to)
        low, high = (seconds(run, node, bound, node.input, known) for bound in bounds)
        drawn = hashlib.sha256(f"{run.run_id}/{node.task}/{attempt}".encode()).digest()
        delay_s += low + (high - low) * int.from_bytes(drawn[:8], "big") / 2**64
    return min(max(delay_s, 0.0), DELAY_S_MAX)
