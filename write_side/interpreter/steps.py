"""What happens next in a run: one step is one event, or a few that belong together."""

from collections.abc import Sequence

from pydantic import ValidationError

from events.run import (
    RunAdvanced,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunEventEmitted,
    RunInputFormed,
    RunIterationStarted,
    RunTaskCancelled,
    RunTaskCompleted,
    RunTaskFaulted,
    RunTaskPrepared,
    RunTaskRetried,
)
from events.run_parts import CallAwaited, ProcessAwaited, RunAwaited
from infra.expressions.program import seconds_spent
from infra.patterns.decider import Decided
from write_side.definition.tasks import EmitTask, ForkTask, ForTask, RaiseTask, SetTask, SwitchTask, TryTask
from write_side.interpreter.beginning import begin, check_beginning, extended, prepared
from write_side.interpreter.bounds import APPEND_BYTES_MAX, EXPRESSIONS_S_MAX, size, unstorable, within
from write_side.interpreter.changed import replace
from write_side.interpreter.compensating import compensate, has_children, undo, waited_for
from write_side.interpreter.documents import fetch_function, fetch_schemas
from write_side.interpreter.doubt import after_answer, given_up
from write_side.interpreter.ending import completed, ending
from write_side.interpreter.errors import Raised
from write_side.interpreter.evolve import evolve
from write_side.interpreter.faults import fault
from write_side.interpreter.flow import END, EXIT, next_place
from write_side.interpreter.instant import chosen_case, emitted_event, raised_error
from write_side.interpreter.listening import listen, subscribe
from write_side.interpreter.plan import with_functions
from write_side.interpreter.scope import Run, check, deadline, filled, formed, holds
from write_side.interpreter.state import ROOT, Node

Events = Sequence[RunEvent]
NOTHING: Events = ()


def advance(run: Run, events_max: int, begun_with: Events = ()) -> Decided:
    """Everything that happens until a run has to wait, after `begun_with`; with a RunAdvanced behind it if that is too much at once.

    The state after it is known by then.
    """
    events: list[RunEvent] = []
    following: Events = begun_with
    bytes_written, began_s = 0, seconds_spent()
    while True:
        for event in following:
            events.append(event)
            bytes_written += size(event)
            run = _after(run, event)
        late = seconds_spent() - began_s > EXPRESSIONS_S_MAX
        if (late or bytes_written > APPEND_BYTES_MAX) and run.state.ready and not run.state.ended:
            # What comes next may be costly too: it is not even looked at.
            return _paused(events, run)
        following = step(run)
        if not following:
            return Decided(events, run.state)
        if len(events) >= events_max:
            return _paused(events, run)


def _after(run: Run, event: RunEvent) -> Run:
    state = evolve(run.state, event)
    if state.functions is run.state.functions:
        return replace(run, state=state)
    return replace(run, state=state, plan=with_functions(run.plan, state))


def _paused(events: list[RunEvent], run: Run) -> Decided:
    more = RunAdvanced()
    return Decided([*events, more], evolve(run.state, more))


def step(run: Run) -> Events:
    """What happens next; nothing if the run has to wait for something or has ended."""
    state = run.state
    if state.status == "cancelling":
        return _cancel(run)
    if state.status == "failing":
        return undo(run, state.error)
    if state.suspended or state.status not in ("running", "compensating"):
        return NOTHING
    if state.status == "compensating":
        found = compensate(run)
        if found:
            return found
    # What has failed goes first: nothing begins below it any more, and the first error is the one that counts.
    for node in sorted((state.nodes[number] for number in state.ready), key=lambda node: node.phase != "faulted"):
        found = within(_step_of(run, node), node.task, node.reference)
        if node.answered:
            found = after_answer(run, node, found)
        if found:
            return found
    for node in state.nodes.values():
        if node.phase == "delayed" and node.retry_at is not None and node.retry_at <= run.at:
            return [RunTaskRetried(task=node.task, attempt=node.attempt)]
    return NOTHING


def _cancel(run: Run) -> Events:
    state = run.state
    if state.compensate and (state.done or waited_for(run) or has_children(run)):
        return undo(run, None)
    for number in sorted(state.nodes, reverse=True):
        if number != ROOT:
            return [RunTaskCancelled(task=number)]
    return [RunCancelled(reason=state.reason)]


def _step_of(run: Run, node: Node) -> Events:
    try:
        if node.phase == "faulted":
            return fault(run, node)
        if node.task == ROOT:
            return _root(run, node)
        if node.parent < 0:
            return _undoing(run, node)
        if not node.prepared:
            return _before(run, node)
        if node.phase == "answered" or node.answered:
            return ending(run, node, node.answer)
        return _going_on(run, node)
    except Raised as raised:
        return [RunTaskFaulted(task=node.task, error=raised.error)]
    except ValidationError as refused:
        return [RunTaskFaulted(task=node.task, error=unstorable(refused, node.reference))]


def _root(run: Run, node: Node) -> Events:
    definition = run.plan.definition
    if not node.prepared:
        deadline(run, node, definition.timeout, node.raw)
        if run.plan.schemas and (fetching := fetch_schemas(run, node, "", definition.document.name)):
            return [fetching]
        check_input = definition.input
        if check_input is None:
            return [RunInputFormed(input=node.raw)]
        check(run, node, check_input.schema_, node.raw, "input")
        return [RunInputFormed(input=formed(run, node, check_input.from_, node.raw))]
    place = next_place(run.plan, node, "/do")
    if isinstance(place, int):
        return begin(run, node, run.plan.lists["/do"][place])
    output = node.data
    if definition.output is not None:
        output = formed(run, node, definition.output.as_, output, {"output": output})
        check(run, node, definition.output.schema_, output, "output")
    return [RunCompleted(output=output)]


def _undoing(run: Run, node: Node) -> Events:
    if node.phase == "answered":
        return NOTHING if node.closed else [RunTaskCompleted(task=node.task, output=node.answer)]
    return _list(run, node, node.reference)


def _list(run: Run, node: Node, section: str, then: str | None = None) -> Events:
    """Go on in a list of tasks; after its last one the task that has it ends."""
    place = next_place(run.plan, node, section)
    if isinstance(place, int):
        return begin(run, node, run.plan.lists[section][place])
    if node.parent < 0:
        return [RunTaskCompleted(task=node.task, output=node.data)]
    return ending(run, node, node.data, END if place == END else then)


def _before(run: Run, node: Node) -> Events:
    """What extensions do before a task; the input stays as it was, but a task that is left with `exit` has ended with this."""
    if not node.section:
        check_beginning(run, node, run.plan.tasks[node.reference].task)
    for section in extended(run, node, "before"):
        place = next_place(run.plan, node, section)
        if isinstance(place, int):
            if section != node.section:
                node = replace(node, data=node.input)
            return begin(run, node, run.plan.lists[section][place])
        if place in (EXIT, END):
            return [completed(run, node, node.data, END if place == END else None)]
    items, awaits = prepared(run, node, run.plan.tasks[node.reference])
    return [RunTaskPrepared(task=node.task, items=items, awaits=awaits)]


def _going_on(run: Run, node: Node) -> Events:
    planned = run.plan.tasks[node.reference]
    match planned.task:
        case SetTask():
            return ending(run, node, filled(run, node, planned.words["set"], node.input))
        case SwitchTask() as task:
            return ending(run, node, node.input, chosen_case(run, node, task))
        case RaiseTask(raise_=what):
            return [RunTaskFaulted(task=node.task, error=raised_error(run, node, what.error))]
        case EmitTask():
            return [RunEventEmitted(task=node.task, event=emitted_event(run, node))]
        case ForTask() as task:
            return _loop(run, node, task)
        case ForkTask() as task:
            return _fork(run, node, task)
        case TryTask(catch=catch):
            if node.section != node.reference + "/catch/do" or node.error is None:
                return _list(run, node, node.reference + "/try")
            if catch.do is None:
                return ending(run, node, node.data, catch.then)
            return _list(run, node, node.reference + "/catch/do", catch.then)
        case _:
            return _kinds_with_awaits(run, node, planned.kind)


def _kinds_with_awaits(run: Run, node: Node, kind: str) -> Events:
    if kind == "do":
        return _list(run, node, node.reference + "/do")
    if kind == "listen":
        return listen(run, node, _list, ending)
    if isinstance(node.awaits, RunAwaited | ProcessAwaited):
        return ending(run, node, node.input)
    if isinstance(node.awaits, CallAwaited):
        return subscribe(run, node, _list, ending)
    function = run.plan.function_of(run.plan.tasks[node.reference])
    if function is None:
        return [fetch_function(run, node)]
    return _function(run, node, function)


def _function(run: Run, node: Node, function: str) -> Events:
    """A call of a function that the definition declares: its input is what the call gives it."""
    if node.cursor < 0:
        given = run.plan.tasks[node.reference].words.get("with")
        data = node.input if given is None else filled(run, node, given, node.input)
        return begin(run, replace(node, data=data), function)
    return ending(run, node, node.data, END if node.then == END else None)


def _loop(run: Run, node: Node, task: ForTask) -> Events:
    """Round by round, while the condition holds; the output of one is the input of the next."""
    section = node.reference + "/do"
    items = node.items or ()
    if node.index >= 0:
        place = next_place(run.plan, node, section)
        if isinstance(place, int):
            return begin(run, node, run.plan.lists[section][place])
        if place == END:
            return ending(run, node, node.data, END)
    following = node.index + 1
    if following >= len(items):
        return ending(run, node, node.data)
    if task.while_ is not None:
        # The condition is that of the round to come: it sees its item.
        coming = {task.for_.each: items[following], task.for_.at: following}
        if not holds(run, node, task.while_, node.data, coming):
            return ending(run, node, node.data)
    return [RunIterationStarted(task=node.task, index=following)]


def _fork(run: Run, node: Node, task: ForkTask) -> Events:
    branches = run.plan.lists[node.reference + "/fork/branches"]
    if node.then == END or (task.fork.compete and node.outputs):
        for other in run.state.below(node.task):
            return [given_up(run, other)]
        outputs = list(node.outputs.values())
        return ending(run, node, outputs[-1], END) if node.then == END else ending(run, node, outputs[0])
    coming = replace(node, data=node.input)
    if node.again:
        return begin(run, coming, branches[node.again[0]])
    if node.begun < len(branches):
        return begin(run, coming, branches[node.begun])
    if len(node.outputs) == len(branches):
        return ending(run, node, [node.outputs[place] for place in range(len(branches))])
    if task.fork.compete and node.children == 0:
        # Nobody has won: what failed says why; where all were skipped, so is the race.
        return [RunTaskFaulted(task=node.task, error=node.error)] if node.error else ending(run, node, node.input)
    return NOTHING
