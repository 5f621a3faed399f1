"""Carries out what tasks of runs wait for: calls, functions and processes, with the secrets that they ask for."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import orjson
import structlog
from pydantic import JsonValue, ValidationError

from events.run_parts import DocumentsAwaited, RunError
from infra.calls.call import FUNCTIONS, carry_out, fetch_documents, run_process
from infra.calls.contract import CallContext, CallFailed, CallSettings
from infra.calls.resources import CallResources
from infra.engines.command_bus import CommandBus
from infra.engines.performer import Send
from infra.errors import StoreUnavailable
from infra.functions import Function, call, function_of
from infra.ids import utc_now
from infra.patterns.activity import Activity
from infra.patterns.saga import Ask
from infra.settings import Settings
from sagas.carry_out_calls_on_run_task import task_of
from sagas.run_waits import RUNTIME, Refused
from write_side.interpreter.asked_again import key_of
from write_side.interpreter.errors import Raised, standard
from write_side.interpreter.plan import known_plan, plan_of, with_functions
from write_side.interpreter.scope import Run
from write_side.interpreter.sealing import awaited_call, conditions_of, documents_asked_for, secrets_of, unsealed
from write_side.interpreter.state import RunState
from write_side.run_commands import AnswerRunTask, DeliverRunMessage, FailRunTask
from write_side.workflow import WorkflowState

log = structlog.get_logger()


def call_settings(settings: Settings) -> CallSettings:
    """What the operator allows calls to do."""
    return CallSettings(
        networks_allowed=settings.call_networks_allowed,
        hosts_allowed=settings.call_hosts_allowed,
        origins=settings.call_origins,
        processes_allowed=settings.processes_allowed,
        call_s_max=settings.call_s_max,
        document_s_max=settings.call_document_s_max,
        process_s_max=settings.process_s_max,
    )


class Secrets:
    """The secrets of tenants: files `<folder>/<tenant>/<name>`, each JSON or text, as a mounted secret has them."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def read(self, tenant_id: str, names: tuple[str, ...]) -> dict[str, JsonValue]:
        """Those of these secrets that there are; what is missing is refused where it is used."""
        found: dict[str, JsonValue] = {}
        for name in names:
            path = None if self._folder is None else self._folder / tenant_id / name
            if path is None or "/" in name or name.startswith(".") or not path.is_file():
                continue
            text = path.read_text().strip()
            try:
                found[name] = orjson.loads(text)
            except orjson.JSONDecodeError:
                found[name] = text
        return found


class Calls:
    """Performs the activities of runs."""

    def __init__(
        self, bus: CommandBus, resources: CallResources, secrets: Secrets, functions: Mapping[str, Function]
    ) -> None:
        self._bus = bus
        self._resources = resources
        self._secrets = secrets
        self._functions = functions

    async def perform(self, tenant_id: str, stream_id: str, activity: Activity, send: Send) -> Ask | FailRunTask | None:
        """What a task's call came to; None if the task does not wait for it any more."""
        run_id, task = task_of(activity.key)
        state: RunState = await self._bus.state(tenant_id, stream_id)
        awaited = awaited_call(state, task)
        if awaited is None:
            return None
        in_doubt = False
        try:
            found = await self._answer(tenant_id, stream_id, task, awaited, state, send)
            # An answer that is refused, since it is too large, was one: what was asked for is done.
            refused = Refused(run_id, task, RUNTIME, in_doubt=True)
            return Ask(AnswerRunTask(run_id=run_id, task=task, answer=found), refused)
        except StoreUnavailable:
            # The log is away for a moment: that is not the call's fault.
            raise
        except CallFailed as failed:
            error, in_doubt = standard(failed.type, failed.detail, "", failed.status, failed.title), failed.in_doubt
        except Raised as raised:
            error = raised.error
        except Exception as broken:
            log.warning("a call broke down", function=_name(awaited), error=type(broken).__name__)
            error = standard("runtime", f"{type(broken).__name__}: {broken}"[:1_000], "")
        return FailRunTask(run_id=run_id, task=task, error=_without_place(error), in_doubt=in_doubt)

    async def _answer(
        self, tenant_id: str, stream_id: str, task: int, awaited: object, state: RunState, send: Send
    ) -> JsonValue:
        run_id = stream_id.partition("-")[2]
        plan = known_plan(state.digest)
        if plan is None:
            workflow: WorkflowState = await self._bus.state(tenant_id, f"workflow-{state.workflow_id}")
            plan = plan_of(state.digest, workflow.versions[state.workflow_version].definition)
        run = Run(run_id, state, with_functions(plan, state), utc_now())
        key = f"{tenant_id}/{run_id}/{key_of(state, task)}"
        secrets = self._secrets.read(tenant_id, secrets_of(run))
        if isinstance(awaited, DocumentsAwaited):
            return await fetch_documents(documents_asked_for(run, task, secrets), CallContext(key, self._resources))
        what, conditions = unsealed(run, task, secrets), conditions_of(run, task)
        context = CallContext(key, self._resources, conditions.keep, conditions.go_on)
        if conditions.foreach:
            if not state.nodes[task].consumed and not conditions.go_on([]):
                return []
            passed_s = (run.at - state.nodes[task].started_at).total_seconds()
            take = partial(self._take, tenant_id, stream_id, task, run, send)
            context = CallContext(context.key, self._resources, take=take, passed_s=passed_s)
        if what.function is None:
            return await run_process(what.arguments, context)
        if what.function in FUNCTIONS:
            return await carry_out(what.function, what.arguments, context)
        function = function_of(self._functions, what.function)
        if function is None:
            raise CallFailed("configuration", f"The function {what.function[:100]!r} is not installed here.")
        return await call(function, what.arguments)

    async def _take(
        self, tenant_id: str, stream_id: str, task: int, begun: Run, send: Send, message: JsonValue
    ) -> bool:
        """Hand a message to a task that does something with each; says whether it wants more."""
        state: RunState = await self._bus.state(tenant_id, stream_id)
        if awaited_call(state, task) is None:
            return False
        now = replace(begun, state=state, at=utc_now())
        if not conditions_of(now, task).keep(message):
            return True
        place = len(state.nodes[task].consumed)
        try:
            delivery = DeliverRunMessage(run_id=begun.run_id, task=task, place=place, message=message)
        except ValidationError as unfit:
            raise CallFailed("communication", "A message cannot be recorded.") from unfit
        refused = await send(delivery)
        if refused is not None:
            raise CallFailed("communication", f"A message could not be taken: {refused}")
        return awaited_call(await self._bus.state(tenant_id, stream_id), task) is not None


def _name(awaited: object) -> str:
    return str(getattr(awaited, "function", "process"))


def _without_place(error: RunError) -> RunError:
    return error.model_copy(update={"instance": None})
