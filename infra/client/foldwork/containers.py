"""Does the jobs of the kind `container`: runs each with podman or docker, and gives what it wrote.

Guarantee: no container of an earlier attempt at a job runs beside that of a later one; what was cancelled is stopped and removed; a node
that is started again removes what it left running, and what it has still to remove later.
"""

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson

from foldwork.container_engine import ContainerEngine, EngineMissing, Ran, TookTooLong
from foldwork.container_options import (
    AFTER,
    PREFIX,
    ContainerLimits,
    create_arguments,
    variables_of,
)
from foldwork.container_request import ContainerRequest
from foldwork.job import Job, JobError

log = logging.getLogger("foldwork")

SHOWN_CHARACTERS = 500
SECRET_CHARACTERS_MIN = 4
UNENDED = ("created", "running", "paused")


class Containers:
    """`engine` is podman or docker, by default whichever is in PATH.

    `engine_arguments` come before each of its commands (`--runtime=runc`); `run_arguments` are options of each container
    (`--network=none`). The containers of a node are known by its name: no two nodes of a tenant on one machine may share one.
    """

    def __init__(
        self,
        engine: str | None = None,
        *,
        engine_arguments: Sequence[str] = (),
        run_arguments: Sequence[str] = (),
        limits: ContainerLimits | None = None,
    ) -> None:
        self._engine = ContainerEngine(engine, engine_arguments)
        self._run_arguments = tuple(run_arguments)
        self._limits = limits or ContainerLimits()
        self._node = ""
        self._background: set[asyncio.Task[None]] = set()
        self._removals: set[asyncio.Task[None]] = set()

    async def open(self, tenant: str, node: str) -> None:
        """Begin with none of this node's containers running. Raises EngineMissing, or JobError if the engine does not answer."""
        self._node = node
        self._engine.folder = self._engine.folder or tempfile.mkdtemp(prefix="foldwork-node-")
        mine = (f"{PREFIX}tenant={tenant}", f"{PREFIX}node={node}")
        await self._remove(await self._find(*mine, statuses=UNENDED))
        await self._remove(await self._find(*mine, f"{PREFIX}cleanup=always"))
        for container in await self._find(*mine, AFTER):
            self._remove_later(container, await self._due_s(container))

    async def close(self) -> None:
        """Containers that are to be removed later are removed by the node that is started next under this name."""
        for removal in self._removals:
            removal.cancel()
        await asyncio.gather(*self._removals, *self._background, return_exceptions=True)
        if self._engine.folder is not None:
            shutil.rmtree(self._engine.folder, ignore_errors=True)
            self._engine.folder = None

    async def do(self, job: Job) -> Any:
        """Run the container and give what `return` names, `stdout` by default.

        As for other processes, the output of a container that failed is not what was asked for: with `stdout` an exit code other than 0
        fails the job, while `stderr`, `code`, `all` and `none` return normally. Raises JobError.
        """
        request = ContainerRequest.of(job.payload)
        mine = (f"{PREFIX}tenant={job.tenant}", f"{PREFIX}job={job.id}")
        try:
            await self._remove(await self._find(*mine))
            container = await self._create(job, await self._with_default_command(request))
            ran = await self._start(container, request)
            state = await self._state(container)
            await self._in_background(self._clean_up(container, request, stop=bool(state.get("Running"))))
        except asyncio.CancelledError:
            # A later attempt may have begun on this machine.
            await self._in_background(self._remove_all(*mine, f"{PREFIX}attempt={job.attempt}"))
            raise
        except (EngineMissing, OSError) as missing:
            raise JobError(f"The container engine cannot be run: {missing}") from missing
        return _result(request, ran, state)

    async def _with_default_command(self, request: ContainerRequest) -> ContainerRequest:
        """Arguments without a command follow what the image does by default, or take its place if the image has an entrypoint."""
        if request.command is not None or not request.arguments:
            return request
        there = ("image", "inspect", "--format=[{{json .Config.Entrypoint}},{{json .Config.Cmd}}]", request.image)
        if request.pull == "always" or (request.pull == "missing" and (await self._engine.run(*there)).code != 0):
            await self._have_image(request, "pull", request.image)
        ran = await self._engine.run(*there)
        if ran.code != 0:
            raise JobError(f"The image is not there: {_shown(request, ran.said)}")
        entrypoint, command = orjson.loads(ran.stdout)
        return replace(request, pull="never", arguments=(*(() if entrypoint else command or ()), *request.arguments))

    async def _have_image(self, request: ContainerRequest, *arguments: str) -> Ran:
        """Run a command that may have to fetch the image first."""
        try:
            ran = await self._engine.run(*arguments, s_max=self._limits.pull_s_max)
        except TookTooLong:
            raise JobError(f"The image could not be had within {self._limits.pull_s_max:g} s.") from None
        if ran.code != 0:
            raise JobError(f"The container could not be made: {_shown(request, ran.said)}")
        return ran

    async def _create(self, job: Job, request: ContainerRequest) -> str:
        """Its id: a name may be that of another container by the time that this one has ended."""
        async with _file_of(variables_of(request), self._engine.folder) as variables:
            arguments = create_arguments(job, self._node, request, self._limits, self._run_arguments, variables)
            ran = await self._have_image(request, *arguments)
        return ran.stdout.decode().split()[-1]

    async def _start(self, container: str, request: ContainerRequest) -> Ran:
        """Until its end; a container that takes too long or writes too much is stopped."""
        limits = self._limits
        problem = None
        ran = Ran()
        try:
            ran = await self._engine.run(
                *("start", "--attach", "--interactive", container),
                stdin=request.stdin,
                bytes_max=limits.output_bytes_max,
                s_max=limits.run_s_max,
            )
            if ran.overflowed:
                problem = f"The container wrote more than {limits.output_bytes_max} bytes."
        except TookTooLong:
            problem = f"The container did not end within {limits.run_s_max:g} s."
        if problem is not None:
            await self._in_background(self._clean_up(container, request, stop=True))
            raise JobError(problem)
        return ran

    async def _state(self, container: str) -> dict[str, Any]:
        ran = await self._answered("inspect", "--type=container", "--format={{json .State}}", container)
        state: dict[str, Any] = orjson.loads(ran.stdout)
        return state

    async def _clean_up(self, container: str, request: ContainerRequest, stop: bool) -> None:
        if stop:
            await self._stop(container)
        if request.cleanup == "always":
            await self._remove([container])
        elif request.cleanup == "eventually":
            self._remove_later(container, request.after_s)

    def _remove_later(self, container: str, after_s: float) -> None:
        async def wait() -> None:
            await asyncio.sleep(after_s)
            await self._remove([container])

        _keep(self._removals, wait())

    async def _due_s(self, container: str) -> float:
        """How long an ended container is still to be kept."""
        template = '--format=[{{json .State.FinishedAt}},{{json (index .Config.Labels "' + AFTER + '")}}]'
        ran = await self._answered("inspect", "--type=container", template, container)
        finished_at, after_s = orjson.loads(ran.stdout)
        gone = datetime.now(UTC) - datetime.fromisoformat(finished_at[:19] + "+00:00")
        return max(0.0, float(after_s) - gone.total_seconds())

    async def _find(self, *labels: str, statuses: Iterable[str] = ()) -> list[str]:
        """The ids of the containers that have all the labels and, if any are given, one of the statuses."""
        filters = [f"--filter=label={label}" for label in labels] + [f"--filter=status={status}" for status in statuses]
        ran = await self._answered("ps", "--all", "--quiet", "--no-trunc", *filters)
        return ran.stdout.decode().split()

    async def _remove_all(self, *labels: str) -> None:
        await self._remove(await self._find(*labels))

    async def _remove(self, containers: Iterable[str]) -> None:
        for container in containers:
            await self._stop(container)
            try:
                ran = await self._engine.run("rm", "--force", "--volumes", container)
            except TookTooLong as late:
                log.warning("container %s is not removed: %s", container, late)
            else:
                if ran.code != 0:
                    log.warning("container %s is not removed: %s", container, ran.said[-SHOWN_CHARACTERS:])

    async def _stop(self, container: str) -> None:
        """Let it end by itself for a while, then kill it; nothing happens if it does not run."""
        with suppress(TookTooLong):
            await self._engine.run("stop", "-t", str(self._limits.stop_s), container)

    async def _answered(self, *arguments: str) -> Ran:
        try:
            ran = await self._engine.run(*arguments)
        except TookTooLong as late:
            raise JobError(f"The container engine did not answer: {late}.") from late
        if ran.code != 0:
            raise JobError(f"The container engine refused {arguments[0]}: {ran.said[-SHOWN_CHARACTERS:]}")
        return ran

    async def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for what has to be done even if nobody waits for it any more."""
        await asyncio.shield(_keep(self._background, work))


def _keep(among: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Nobody may wait for it: what goes wrong then is at least told."""

    async def told() -> None:
        try:
            await work
        except (JobError, EngineMissing, OSError) as failed:
            log.warning("a container is not removed: %s", failed)

    task = asyncio.create_task(told())
    among.add(task)
    task.add_done_callback(among.discard)
    return task


@asynccontextmanager
async def _file_of(text: str, folder: str | None) -> AsyncIterator[str | None]:
    """A file that only this user can read, for as long as it is needed; None for no text."""
    if not text:
        yield None
        return
    # Made for its owner alone.
    number, path = tempfile.mkstemp(prefix="foldwork-", dir=folder)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
        yield path
    finally:
        os.unlink(path)


def _result(request: ContainerRequest, ran: Ran, state: dict[str, Any]) -> Any:
    if state.get("Running"):
        raise JobError("The engine let go of the container while it ran.")
    if str(state.get("StartedAt", "")).startswith("0001-"):
        raise JobError(f"The container could not be started: {_shown(request, state.get('Error') or ran.said)}")
    code, stdout, stderr = int(state["ExitCode"]), _text(ran.stdout), _text(ran.stderr)
    if request.wanted == "stdout" and code != 0:
        full = ", since it took more memory than it may" if state.get("OOMKilled") else ""
        raise JobError(f"The container ended with the exit code {code}{full}: {_shown(request, stderr.strip())}")
    results = {
        "stdout": stdout,
        "stderr": stderr,
        "code": code,
        "all": {"code": code, "stdout": stdout, "stderr": stderr},
        "none": None,
    }
    return results[request.wanted]


def _text(output: bytearray) -> str:
    """No event holds NUL."""
    return output.decode(errors="replace").replace("\x00", "\ufffd")


def _shown(request: ContainerRequest, text: str) -> str:
    """The end of a text, without what the environment holds; a value of a few characters is in every text and stays."""
    for value in sorted(request.environment.values(), key=len, reverse=True):
        if len(value) >= SECRET_CHARACTERS_MIN:
            text = text.replace(value, "***")
    return text[-SHOWN_CHARACTERS:]
