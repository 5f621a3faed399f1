"""A company at work on runs: workflows at random, and agents, nodes, people and operators who do something at random."""

from random import Random
from typing import Any

from pydantic import BaseModel

from events.envelope import Envelope
from events.event import Event
from events.run import RunAdvanced, RunCancelRequested, RunEventReceived, RunForked, RunResumed, RunRetried, RunStarted
from events.run_compensation import RunCompensationSkipped, RunCompensationStarted
from events.workflow import WorkflowActivated, WorkflowRegistered
from infra.patterns.saga import Saga
from write_side.agent import CreateAgent, StartAgent
from write_side.approval import ENDED as APPROVAL_ENDED
from write_side.approval import CancelApproval, DecideApproval
from write_side.definition.digest import digest
from write_side.job import ENDED as JOB_ENDED
from write_side.job import AssignJob, CompleteJob, FailJob, StartJob
from write_side.message import CloudEvent, PublishMessage
from write_side.run_commands import (
    AdvanceRun,
    CancelRun,
    ResumeRun,
    RetryRun,
    RetryRunCompensation,
    SkipRunCompensation,
    StartRun,
    SuspendRun,
    TerminateRun,
)
from write_side.task import ENDED as TASK_ENDED
from write_side.task import AssignTask, CancelTask, CompleteTask, FailTask, StartTask

TYPES = ("order.paid", "order.sent")
ENDED = {"run": {"completed", "cancelled", "compensated"}, "task": TASK_ENDED, "job": JOB_ENDED}
ENDED["approval"] = APPROVAL_ENDED


class Nothing(BaseModel):
    """No state."""


STARTING_AGAIN = (
    RunStarted,
    RunForked,
    RunAdvanced,
    RunResumed,
    RunRetried,
    RunCancelRequested,
    RunEventReceived,
    RunCompensationStarted,
    RunCompensationSkipped,
)


def advance(envelope: Envelope[Event], state: Nothing) -> list[AdvanceRun]:
    return [AdvanceRun(run_id=envelope.entity_id)]


ADVANCE = Saga("advance", 1, Nothing, STARTING_AGAIN, advance)
"""What the engine does that has runs go on."""


def registered(definition: dict[str, Any]) -> WorkflowRegistered:
    document = definition["document"]
    return WorkflowRegistered(
        namespace=document["namespace"],
        name=document["name"],
        workflow_version=document["version"],
        digest=digest(definition),
        definition=definition,
    )


def workflow(name: str, do: list[Any], **more: Any) -> dict[str, Any]:
    return {"document": {"dsl": "1.0.3", "namespace": "test", "name": name, "version": "1.0.0"}, "do": do, **more}


class Author:
    """Writes definitions at random; what they wait for comes, fails, or takes too long."""

    def __init__(self, random: Random, children: list[str]) -> None:
        self.random = random
        self.children = children

    def tasks(self, depth: int, size: int = 3) -> list[Any]:
        return [{f"t{number}": self.task(depth)} for number in range(self.random.randint(1, size))]

    def task(self, depth: int) -> dict[str, Any]:
        kinds = [self.agent, self.job, self.approval, self.wait, self.listen]
        if self.children:
            kinds += [self.child] * 2
        if depth:
            kinds += [lambda: self.fork(depth), lambda: self.attempt(depth), lambda: {"do": self.tasks(depth - 1)}]
        task = self.random.choice(kinds)()
        if self.random.random() < 0.2:
            task["timeout"] = {"after": {"seconds": self.random.choice([1, 60])}}
        if depth and self.random.random() < 0.4:
            task["metadata"] = {"compensate": self.tasks(0, size=2)}
        return task

    def agent(self) -> dict[str, Any]:
        # Now and then of an agent that there is not, or in a way that is not right.
        to = self.random.choice([{"capability": "c"}] * 4 + [{"agent": "nobody"}, {"capability": "c", "timeout": -1}])
        return {"call": "agent", "with": to}

    def job(self) -> dict[str, Any]:
        need = self.random.choice([{"cpu_milli": 1, "memory_mib": 1}] * 4 + [{}])
        return {"call": "job", "with": {"kind": "k", "requirements": need}}

    def approval(self) -> dict[str, Any]:
        asked = self.random.choice([{"people": ["user:bob"]}] * 4 + [{}])
        return {"call": "approval", "with": {**asked, **self.random.choice([{}, {"timeout_s": 5.0}])}}

    def wait(self) -> dict[str, Any]:
        return {"wait": {"seconds": self.random.randint(1, 100)}}

    def listen(self) -> dict[str, Any]:
        filters = [{"with": {"type": type_}} for type_ in TYPES]
        return {"listen": {"to": self.random.choice([{"one": filters[0]}, {"all": filters}, {"any": filters}])}}

    def child(self) -> dict[str, Any]:
        name = self.random.choice([*self.children, "unknown"])
        what = {"namespace": "test", "name": name, "version": "1.0.0"}
        return {"run": {"workflow": what, "await": self.random.random() < 0.8}}

    def fork(self, depth: int) -> dict[str, Any]:
        return {"fork": {"branches": self.tasks(depth - 1), "compete": self.random.random() < 0.4}}

    def attempt(self, depth: int) -> dict[str, Any]:
        retry = {"delay": {"seconds": 1}, "limit": {"attempt": {"count": 2}}}
        catch = self.random.choice([{"do": self.tasks(0)}, {"retry": retry}, {"retry": retry, "do": self.tasks(0)}])
        return {"try": self.tasks(depth - 1), "catch": catch}


class Company:
    """Does something at random in a world with sagas; in the end it does what is left, until every run has ended."""

    def __init__(self, world: Any, random: Random) -> None:
        self.world = world
        self.random = random
        self.published = 0
        world.send(CreateAgent(agent_id="a1", name="a1", agent_type="reactive", capabilities=("c",)))
        world.send(StartAgent(agent_id="a1"))
        names: list[str] = []
        for level in range(3):
            author = Author(random, list(names))
            for number in range(2):
                names.append(f"w{level}{number}")
                definition = workflow(names[-1], author.tasks(depth=level))
                world.append(f"workflow-test.{names[-1]}", registered(definition))
                world.append(f"workflow-test.{names[-1]}", WorkflowActivated(workflow_version="1.0.0"))
        self.names = names
        self.actions = [
            *[lambda: world.follow(random)] * 30,
            *[lambda: world.arrive(random)] * 20,
            *[lambda: world.ring(random)] * 2,
            *[self.work] * 6,
            *[self.publish] * 2,
            self.start,
            self.operate,
        ]

    def act(self) -> None:
        self.random.choice(self.actions)()

    def open(self, category: str) -> list[str]:
        ended = ENDED[category]
        return [one for one in self.world.streams(category) if self.status(category, one) not in ended]

    def status(self, category: str, entity_id: str) -> str:
        return str(self.world.state_of(f"{category}-{entity_id}").status)

    def start(self) -> None:
        number = sum("." not in run_id for run_id in self.world.streams("run"))
        name = self.random.choice(self.names[-2:])
        self.world.send(StartRun(run_id=f"r{number}", workflow_id=f"test.{name}", input={"a": 1}))

    def work(self) -> None:
        """Somebody gets on with a piece of work that is open, or says that it cannot be done."""
        category = self.random.choice(["task", "job", "approval"])
        if not (found := self.open(category)):
            return
        one = self.random.choice(found)
        {"task": self.of_agent, "job": self.of_node, "approval": self.of_people}[category](one)

    def of_agent(self, task_id: str) -> None:
        status, chance = self.status("task", task_id), self.random.random()
        if status == "requested":
            self.world.send(AssignTask(task_id=task_id, agent_id="a1"))
        if chance < 0.1:
            self.world.send(CancelTask(task_id=task_id))
        elif chance < 0.3:
            self.world.send(FailTask(task_id=task_id, error="cannot"))
        elif status == "assigned":
            self.world.send(StartTask(task_id=task_id))
        elif status == "running":
            self.world.send(CompleteTask(task_id=task_id, result={"done": task_id}))

    def of_node(self, job_id: str) -> None:
        status, failing = self.status("job", job_id), self.random.random() < 0.3
        if status == "queued":
            self.world.send(AssignJob(job_id=job_id, attempt=1, node_id="n1"))
        elif status == "assigned":
            self.world.send(StartJob(job_id=job_id, attempt=1))
        elif failing:
            self.world.send(FailJob(job_id=job_id, attempt=1, error="cannot"))
        else:
            self.world.send(CompleteJob(job_id=job_id, attempt=1, result={"done": job_id}))

    def of_people(self, approval_id: str) -> None:
        decision = self.random.choice(["approve", "approve", "reject", None])
        if decision is None:
            self.world.send(CancelApproval(approval_id=approval_id))
        else:
            self.world.send(DecideApproval(approval_id=approval_id, decision=decision, actor="user:bob"))

    def publish(self) -> None:
        self.published += 1
        event = CloudEvent(specversion="1.0", id=f"{self.published}", source="/x", type=self.random.choice(TYPES))
        self.world.send(PublishMessage(event=event))

    def operate(self) -> None:
        if not (found := self.open("run")):
            return
        run_id, random = self.random.choice(found), self.random
        commands = [CancelRun(run_id=run_id, compensate=random.random() < 0.5), TerminateRun(run_id=run_id)]
        commands += [SuspendRun(run_id=run_id), ResumeRun(run_id=run_id), RetryRun(run_id=run_id)]
        commands += [RetryRunCompensation(run_id=run_id), SkipRunCompensation(run_id=run_id)]
        self.world.send(random.choice(commands))

    def finish(self, turns_max: int = 3_000) -> None:
        """Operators leave no run suspended, parked or failed; the rest is for the sagas."""
        for _ in range(turns_max):
            self.world.come_to_rest(self.random)
            if not self.open("run"):
                return
            for run_id in self.open("run"):
                self.end(run_id)
            self.publish()
            for _ in range(10):
                self.work()
        raise AssertionError([(run_id, self.status("run", run_id)) for run_id in self.open("run")])

    def end(self, run_id: str) -> None:
        state = self.world.state_of(f"run-{run_id}")
        if state.suspended:
            self.world.send(ResumeRun(run_id=run_id))
        elif state.status == "parked":
            again = RetryRunCompensation if self.random.random() < 0.3 else SkipRunCompensation
            self.world.send(again(run_id=run_id))
        elif state.status == "faulted" and self.random.random() < 0.3:
            self.world.send(RetryRun(run_id=run_id))
        elif state.status == "faulted":
            self.world.send(CancelRun(run_id=run_id, compensate=True))
