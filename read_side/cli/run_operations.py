"""What an operator does with a run that is under way or has failed."""

from typing import Annotated

import typer
from pydantic import JsonValue

from infra.console import Output, print_json, run, stdout
from infra.ids import new_id
from read_side.cli.client import Accepted, JsonObject, path_of
from read_side.cli.options import ActorOption, LabelOption, OutputOption, TenantOption, client, read_json, read_labels
from read_side.cli.suggestion import suggestion

SOURCE = "/foldwork/cli"

RunArgument = Annotated[str, typer.Argument(help="The run.", show_default=False)]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Why, as the log is to say.")]


def suspend(
    run_id: RunArgument,
    reason: ReasonOption = None,
    tenant: TenantOption = "default",
    actor: ActorOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Pause a run: what is under way goes on, nothing new begins."""
    accepted = _send(run_id, "suspend", _given(reason=reason), tenant, actor)
    _tell(accepted, f"{run_id} is suspended. Go on with `{suggestion(tenant, 'runs', 'resume', run_id)}`.", output)


def resume(
    run_id: RunArgument,
    tenant: TenantOption = "default",
    actor: ActorOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Let a suspended run go on."""
    _tell(_send(run_id, "resume", {}, tenant, actor), f"{run_id} goes on.", output)


def cancel(
    run_id: RunArgument,
    compensate: Annotated[bool, typer.Option("--compensate", help="Undo what it has done.")] = False,
    reason: ReasonOption = None,
    tenant: TenantOption = "default",
    actor: ActorOption = None,
    output: OutputOption = Output.table,
) -> None:
    """End a run that is not wanted any more."""
    accepted = _send(run_id, "cancel", _given(compensate=compensate, reason=reason), tenant, actor)
    undone = ", and what it has done is undone" if compensate else ""
    _tell(accepted, f"{run_id} is being cancelled{undone}. {_follow(tenant, run_id)}", output)


def terminate(
    run_id: RunArgument,
    reason: ReasonOption = None,
    tenant: TenantOption = "default",
    actor: ActorOption = None,
    output: OutputOption = Output.table,
) -> None:
    """End a run at once; nothing is undone."""
    accepted = _send(run_id, "terminate", _given(reason=reason), tenant, actor)
    _tell(accepted, f"{run_id} is terminated.", output)


def retry(
    run_id: RunArgument,
    tenant: TenantOption = "default",
    actor: ActorOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Let a failed run go on from the tasks that failed."""
    accepted = _send(run_id, "retry", {}, tenant, actor)
    _tell(accepted, f"{run_id} goes on from what failed. {_follow(tenant, run_id)}", output)


def fork(
    run_id: RunArgument,
    task: Annotated[
        int,
        typer.Option("--task", min=0, help="The completed task after which the new run goes on; 0: from the start."),
    ],
    input_text: Annotated[
        str | None, typer.Option("--input", "-i", help="What it goes on with instead: JSON, or @FILE.")
    ] = None,
    label: LabelOption = None,
    new_run_id: Annotated[str | None, typer.Option("--new-run-id", help="An id of your own for the new run.")] = None,
    tenant: TenantOption = "default",
    actor: ActorOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Begin a new run with the history of this one up to a task, and print its id."""
    forked = new_run_id or new_id()
    body = _given(new_run_id=forked, task=task)
    if labels := read_labels(label):
        body["labels"] = dict[str, JsonValue](labels)
    if input_text is not None:
        body["input"] = read_json("--input", input_text)
    accepted = _send(run_id, "fork", body, tenant, actor)
    if output is Output.json:
        print_json({"run_id": forked, **accepted.model_dump()})
    else:
        stdout.print(forked, markup=False, soft_wrap=True)


def send(
    run_id: RunArgument,
    event_type: Annotated[str | None, typer.Option("--type", help="The event's type.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="Its data: JSON, or @FILE.")] = None,
    source: Annotated[str, typer.Option("--source", help="Where it comes from.")] = SOURCE,
    event_text: Annotated[
        str | None, typer.Option("--event", help="A whole CloudEvent instead: JSON, or @FILE.")
    ] = None,
    tenant: TenantOption = "default",
    actor: ActorOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Send an event to a run that may be listening for it."""
    event = _event(event_type, data, source, event_text)
    accepted = _send(run_id, "send-event", {"event": event}, tenant, actor)
    _tell(accepted, f"{run_id} was sent the event.", output)


def approve(
    approval_id: Annotated[str, typer.Argument(help="The approval that a task waits for.")],
    reject: Annotated[bool, typer.Option("--reject", help="Reject it instead.")] = False,
    answer_text: Annotated[str | None, typer.Option("--answer", help="What its form asks for: JSON, or @FILE.")] = None,
    comment: Annotated[str | None, typer.Option("--comment", help="What others should read.")] = None,
    group: Annotated[list[str] | None, typer.Option("--group", help="A group you are in; may be repeated.")] = None,
    tenant: TenantOption = "default",
    actor: ActorOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Decide about an approval, as the one that --actor names."""
    body = _given(decision="reject" if reject else "approve", comment=comment)
    if answer_text is not None:
        body["answer"] = read_json("--answer", answer_text)

    async def work() -> Accepted:
        async with client(tenant, actor, group or ()) as api:
            return await api.send(path_of("approvals", approval_id), body)

    _tell(run(work()), f"{approval_id} is {'rejected' if reject else 'approved'} by {actor or 'anonymous'}.", output)


def retry_compensation(
    run_id: RunArgument,
    tenant: TenantOption = "default",
    actor: ActorOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Have a parked run try once more to undo what could not be undone."""
    accepted = _send(run_id, "retry-compensation", {}, tenant, actor)
    _tell(accepted, f"{run_id} tries again. {_follow(tenant, run_id)}", output)


def skip_compensation(
    run_id: RunArgument,
    tenant: TenantOption = "default",
    actor: ActorOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Leave a task that could not be undone as it is, and let its parked run go on."""
    accepted = _send(run_id, "skip-compensation", {}, tenant, actor)
    _tell(accepted, f"{run_id} goes on without it. {_follow(tenant, run_id)}", output)


def _follow(tenant: str, run_id: str) -> str:
    return f"Follow it with `{suggestion(tenant, 'runs', 'show', '-f', run_id)}`."


def _given(**fields: JsonValue) -> JsonObject:
    return {name: value for name, value in fields.items() if value is not None}


def _event(event_type: str | None, data: str | None, source: str, event_text: str | None) -> JsonValue:
    """The CloudEvent to send. Raises BadParameter."""
    if (event_type is None) == (event_text is None):
        raise typer.BadParameter("Give either --type, with --data if it has any, or --event.", param_hint="--type")
    if event_text is not None:
        return read_json("--event", event_text)
    event: JsonObject = {"specversion": "1.0", "id": new_id(), "source": source, "type": event_type}
    if data is not None:
        event.update(datacontenttype="application/json", data=read_json("--data", data))
    return event


def _send(run_id: str, verb: str, body: JsonObject, tenant: str, actor: str | None) -> Accepted:
    async def work() -> Accepted:
        async with client(tenant, actor) as api:
            return await api.send(path_of("runs", run_id, verb), body)

    return run(work())


def _tell(accepted: Accepted, message: str, output: Output) -> None:
    if output is Output.json:
        print_json(accepted.model_dump())
    else:
        stdout.print(message, markup=False, soft_wrap=True)
