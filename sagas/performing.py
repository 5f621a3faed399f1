"""Carries out what tasks of runs wait for: calls, functions and processes, with the secrets that they ask for."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import quote, quote_plus

import orjson
import structlog
from pydantic import JsonValue, ValidationError

from events.run_parts import DocumentsAwaited, RunError
from infra.calls.call import FUNCTIONS, carry_out, fetch_documents, run_process
from infra.calls.contract import CallContext, CallFailed, CallSettings, NotWanted
from infra.calls.exchange import without
from infra.calls.resources import CallResources
from infra.engines.command_bus import CommandBus
from infra.engines.performer import Send
from infra.engines.standstill import StoodStill
from infra.errors import StoreUnavailable
from infra.functions import Function, call, function_of
from infra.ids import utc_now
from infra.patterns.activity import Activity, IfAlone
from infra.patterns.saga import Ask
from infra.settings import Settings
from sagas.carry_out_calls_on_run_task import task_of
from sagas.run_waits import RUNTIME, Refused
from write_side.interpreter.asked_again import key_of
from write_side.interpreter.errors import TITLES, Raised, standard
from write_side.interpreter.plan import known_plan, plan_of, with_functions
from write_side.interpreter.scope import Run
from write_side.interpreter.sealing import awaited_call, conditions_of, documents_asked_for, secrets_of, unsealed
from write_side.interpreter.state import RunState
from write_side.run_commands import AnswerRunTask, DeliverRunMessage, FailRunTask
from write_side.workflow import WorkflowState

log = structlog.get_logger()

_CATCH_UP_S = 1.0
"""After a standstill, what came due meanwhile has its turn before what was about to be done."""
_LOOKS_MAX = 5
"""A process that stands still again and again is busy; it goes on with what was wanted a moment ago."""


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


@dataclass(frozen=True, slots=True)
class _Asked:
    """A task that waits for something to be carried out, and what the performer gives for that."""

    tenant_id: str
    stream_id: str
    task: int
    send: Send
    stood_still: StoodStill


class Calls:
    """Performs the activities of runs."""

    def __init__(
        self, bus: CommandBus, resources: CallResources, secrets: Secrets, functions: Mapping[str, Function]
    ) -> None:
        self._bus = bus
        self._resources = resources
        self._secrets = secrets
        self._functions = functions

    async def perform(
        self, tenant_id: str, stream_id: str, activity: Activity, send: Send, stood_still: StoodStill
    ) -> Ask | FailRunTask | IfAlone | None:
        """What a task's call came to; None if the task does not wait for it any more."""
        run_id, task = task_of(activity.key)
        state: RunState = await self._bus.state(tenant_id, stream_id)
        awaited = awaited_call(state, task)
        if awaited is None:
            return None
        in_doubt = unheard = False
        asked = _Asked(tenant_id, stream_id, task, send, stood_still)
        try:
            return _answered(run_id, task, await self._answer(asked, awaited, state))
        except NotWanted:
            return None
        except CallFailed as failed:
            error, in_doubt = standard(failed.type, failed.detail, "", failed.status, failed.title), failed.in_doubt
            unheard = failed.unheard
        except Raised as raised:
            error = raised.error
        ended = FailRunTask(run_id=run_id, task=task, error=_without_place(error), in_doubt=in_doubt)
        return IfAlone(ended, ended.model_copy(update={"in_doubt": True})) if unheard else ended

    async def _answer(self, asked: _Asked, awaited: object, state: RunState) -> JsonValue:
        """What a call came to. Raises Raised, CallFailed and NotWanted, and StoreUnavailable: the log is away, which is not its fault."""
        secrets: Mapping[str, JsonValue] = {}
        try:
            run = await self._run(asked, state)
            secrets = self._secrets.read(asked.tenant_id, secrets_of(run))
            return await self._carried_out(asked, awaited, run, secrets)
        except (Raised, NotWanted, StoreUnavailable):
            raise
        except CallFailed as failed:
            raise _veiled(failed, texts_of(secrets)) from failed
        except Exception as broken:
            log.warning("a call broke down", function=_name(awaited), error=type(broken).__name__)
            unknown = CallFailed("runtime", f"{type(broken).__name__}: {broken}", title=TITLES["runtime"])
            raise _veiled(unknown, texts_of(secrets)) from broken

    async def _run(self, asked: _Asked, state: RunState) -> Run:
        plan = known_plan(state.digest)
        if plan is None:
            workflow: WorkflowState = await self._bus.state(asked.tenant_id, f"workflow-{state.workflow_id}")
            plan = plan_of(state.digest, workflow.versions[state.workflow_version].definition)
        return Run(asked.stream_id.partition("-")[2], state, with_functions(plan, state), utc_now())

    async def _carried_out(
        self, asked: _Asked, awaited: object, run: Run, secrets: Mapping[str, JsonValue]
    ) -> JsonValue:
        task = asked.task
        node, key = run.state.nodes[task], f"{asked.tenant_id}/{run.run_id}/{key_of(run.state, task)}"
        context = CallContext(key, self._resources, partial(self._confirm, asked), secrets=texts_of(secrets))
        if isinstance(awaited, DocumentsAwaited):
            return await fetch_documents(documents_asked_for(run, task, secrets), context)
        what, conditions = unsealed(run, task, secrets), conditions_of(run, task)
        if conditions.foreach:
            if not node.consumed and not conditions.go_on([]):
                return []
            passed_s = (run.at - node.started_at).total_seconds()
            take = partial(self._take, asked, run)
            context = replace(context, take=take, passed_s=passed_s)
        else:
            context = replace(context, keep=conditions.keep, go_on=conditions.go_on)
        if what.function is None:
            return await run_process(what.arguments, context)
        if what.function in FUNCTIONS:
            return await carry_out(what.function, what.arguments, context)
        function = function_of(self._functions, what.function)
        if function is None:
            raise CallFailed("configuration", f"The function {what.function[:100]!r} is not installed here.")
        await context.confirm()
        return await call(function, what.arguments)

    async def _confirm(self, asked: _Asked) -> None:
        """Look once more where the process stood still: what it is about to do may be given up, and undone, by now."""
        for _ in range(_LOOKS_MAX):
            if not asked.stood_still():
                return
            await asyncio.sleep(_CATCH_UP_S)
            state: RunState = await self._bus.state(asked.tenant_id, asked.stream_id, fresh=True)
            if awaited_call(state, asked.task) is None:
                raise NotWanted

    async def _take(self, asked: _Asked, begun: Run, message: JsonValue) -> bool:
        """Hand a message to a task that does something with each; says whether it wants more."""
        task = asked.task
        state: RunState = await self._bus.state(asked.tenant_id, asked.stream_id)
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
        refused = await asked.send(delivery)
        if refused is not None:
            raise CallFailed("communication", f"A message could not be taken: {refused}")
        return awaited_call(await self._bus.state(asked.tenant_id, asked.stream_id), task) is not None


def texts_of(secrets: JsonValue | Mapping[str, JsonValue]) -> tuple[str, ...]:
    """What of secrets may show up in a text: each text and number in them, also as it stands in a URI or in JSON."""
    if isinstance(secrets, Mapping | list):
        each = secrets.values() if isinstance(secrets, Mapping) else secrets
        return tuple(text for value in each for text in texts_of(value))
    if secrets is None or isinstance(secrets, bool):
        return ()
    text = str(secrets)
    return tuple(dict.fromkeys((text, quote(text, safe=""), quote(text), quote_plus(text), json.dumps(text)[1:-1])))


def _veiled(failed: CallFailed, secrets: tuple[str, ...]) -> CallFailed:
    """The same failure without the secrets that the call was given, whoever quotes them."""
    return failed.told(partial(without, secrets))


def _answered(run_id: str, task: int, found: JsonValue) -> Ask | FailRunTask:
    """An answer that no event can hold, or that is refused since it is too large, was one: what was asked for is done."""
    try:
        answer = AnswerRunTask(run_id=run_id, task=task, answer=found)
    except ValidationError as unfit:
        said = unfit.errors(include_url=False, include_input=False)[0]["msg"]
        error = standard("runtime", f"the answer cannot be recorded: {said}", "")
        return FailRunTask(run_id=run_id, task=task, error=_without_place(error), in_doubt=True)
    return Ask(answer, Refused(run_id, task, RUNTIME, in_doubt=True))


def _name(awaited: object) -> str:
    return str(getattr(awaited, "function", "process"))


def _without_place(error: RunError) -> RunError:
    return error.model_copy(update={"instance": None})
