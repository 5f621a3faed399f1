"""Stories of runs with their sagas: definitions by name, and runs of the one that is called `main`."""

from random import Random

from sagas.ask_agents_on_run_task import ASK_AGENTS_ON_RUN_TASK
from sagas.ask_people_on_run_task import ASK_PEOPLE_ON_RUN_TASK
from sagas.deliver_events_to_runs import DELIVER_EVENTS_TO_RUNS
from sagas.start_child_runs_on_task import START_CHILD_RUNS_ON_TASK
from sagas.submit_jobs_on_run_task import SUBMIT_JOBS_ON_RUN_TASK
from sagas.time_out_approvals_on_deadline import TIME_OUT_APPROVALS_ON_DEADLINE
from sagas.time_runs_on_task import TIME_RUNS_ON_TASK
from tests.sagas.company import ADVANCE, registered, workflow
from tests.sagas.conftest import as_kept
from write_side.run_commands import StartRun
from write_side.task import AssignTask, CompleteTask, FailTask, StartTask
from write_side.workflow import ActivateWorkflow

SAGAS = (
    ADVANCE,
    TIME_RUNS_ON_TASK,
    START_CHILD_RUNS_ON_TASK,
    ASK_AGENTS_ON_RUN_TASK,
    SUBMIT_JOBS_ON_RUN_TASK,
    ASK_PEOPLE_ON_RUN_TASK,
    DELIVER_EVENTS_TO_RUNS,
    TIME_OUT_APPROVALS_ON_DEADLINE,
)

AGENT = {"call": "agent", "with": {"capability": "c"}}
CHILD = {"run": {"workflow": {"namespace": "test", "name": "child", "version": "latest"}}}
TIMEOUT = {"after": "PT1M"}
LISTEN = {"listen": {"to": {"one": {"with": {"type": "order.paid"}}}}}
UNDO = {"compensate": [{"undo": {"call": "agent", "with": {"capability": "undo"}}}]}


class Told:
    """A story of a world: definitions by name, and runs of the one that is called `main`."""

    def __init__(self, world, *sagas):
        self.world = world(*SAGAS, *sagas)
        self.random = Random(1)

    def known(self, name, do, version="1.0.0", **more):
        definition = workflow(name, do, **more)
        definition["document"]["version"] = version
        self.world.append(f"workflow-test.{name}", registered(definition))
        return self.send(ActivateWorkflow(workflow_id=f"test.{name}", workflow_version=version))

    def send(self, *commands):
        for command in commands:
            self.world.send(command)
            self.rest()
        return self

    def rest(self):
        """All but timers."""
        while any([self.world.follow(self.random), self.world.arrive(self.random)]):
            pass
        return self

    def run(self):
        return self.send(StartRun(run_id="r1", workflow_id="test.main"))

    def agent_does(self, task_id, result=None, *, failing=False):
        end = FailTask(task_id=task_id, error="cannot") if failing else CompleteTask(task_id=task_id, result=result)
        return self.send(AssignTask(task_id=task_id, agent_id="a1"), StartTask(task_id=task_id), end)

    def status(self, stream_id):
        return self.world.state_of(stream_id).status

    def events(self, stream_id):
        return [envelope.event for envelope in self.world.log if envelope.stream_id == stream_id]

    def last(self, stream_id="run-r1"):
        return self.events(stream_id)[-1]

    def ring(self):
        """Let the first timer be due."""
        first = min(self.world.timers, key=lambda timer: timer.at)
        self.world.timers.remove(first)
        return self.send(as_kept(first))
