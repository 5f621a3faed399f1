"""Times a task out that is still open at its deadline; the timer is set on request and never cancelled."""

from collections.abc import Sequence

from pydantic import BaseModel

from events.envelope import Envelope
from events.task import TaskRequested
from infra.patterns.saga import Reaction, Saga, Schedule
from write_side.task import TimeOutTask


class Nothing(BaseModel):
    """No state: the decider sees whether what has a deadline is still open."""


def react(envelope: Envelope[TaskRequested], state: Nothing) -> Sequence[Reaction]:
    match envelope.event:
        case TaskRequested(deadline_at=deadline_at) if deadline_at is not None:
            return [Schedule(deadline_at, TimeOutTask(task_id=envelope.entity_id))]
        case _:
            pass
    return []


TIME_OUT_TASKS_ON_DEADLINE = Saga(
    name="time_out_tasks_on_deadline",
    version=1,
    state=Nothing,
    handles=(TaskRequested,),
    react=react,
)
