"""What holds for a job whatever commands come in whatever order."""

from datetime import UTC, datetime

from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st

from events.job import (
    JobAssigned,
    JobAttemptFailed,
    JobCancelled,
    JobCompleted,
    JobRequeued,
    JobSubmitted,
    Requirements,
)
from infra.errors import Rejection
from tests.sizes import examples
from write_side.fleet import FLEET, FLEET_STREAM
from write_side.job import (
    ENDED,
    JOB,
    AssignJob,
    CancelJob,
    CompleteJob,
    FailJob,
    FailJobForDependency,
    QueueJob,
    RequeueJob,
    StartJob,
    SubmitJob,
)

UNHURRIED = settings(deadline=None, max_examples=examples(50))
NOW = datetime(2026, 1, 2, tzinfo=UTC)
NEED = Requirements(cpu_milli=1_000, memory_mib=512)
RETRIES_MAX = 2
SUBMITTED = JobSubmitted(kind="train", requirements=NEED)
OTHERS = {
    FLEET_STREAM: FLEET.initial,
    "job-open": JOB.fold([SUBMITTED]),
    "job-done": JOB.fold([SUBMITTED, JobCompleted(node_id="n1", attempt=1)]),
    "job-lost": JOB.fold([SUBMITTED, JobCancelled(attempt=1)]),
}

J1 = {"job_id": st.just("j1")}
ATTEMPT = {**J1, "attempt": st.integers(1, 4)}
NODE_ID = st.sampled_from(["n1", "n2"])
DEPENDS_ON = st.sampled_from([(), (), ("done",), ("open",), ("open", "done"), ("lost",)])
SUBMIT = st.builds(
    SubmitJob,
    **J1,
    kind=st.just("train"),
    requirements=st.just(NEED),
    retries=st.integers(0, RETRIES_MAX),
    depends_on=DEPENDS_ON,
)
COMMAND = st.one_of(
    st.builds(QueueJob, **ATTEMPT),
    st.builds(AssignJob, **ATTEMPT, node_id=NODE_ID),
    st.builds(StartJob, **ATTEMPT),
    st.builds(CompleteJob, **ATTEMPT),
    st.builds(FailJob, **ATTEMPT, error=st.just("x"), at=st.just(NOW)),
    st.builds(RequeueJob, **ATTEMPT, reason=st.just("x")),
    st.builds(FailJobForDependency, **J1, cause_job_id=st.just("open")),
    st.builds(CancelJob, **J1),
    SUBMIT,
)


@st.composite
def likely_commands(draw):
    """Mostly the next sensible step for one attempt after another, with anything at all in between."""
    commands = [draw(SUBMIT), QueueJob(job_id="j1", attempt=1)]
    for attempt in range(1, draw(st.integers(1, 4)) + 1):
        commands += [QueueJob(job_id="j1", attempt=attempt), AssignJob(job_id="j1", attempt=attempt, node_id="n1")]
        commands += draw(st.lists(COMMAND, max_size=2))
        commands += [StartJob(job_id="j1", attempt=attempt)]
        commands += draw(st.lists(COMMAND, max_size=2))
        commands += [FailJob(job_id="j1", attempt=attempt, error="x", at=NOW)]
    return commands


def run(commands):
    """The events of these commands; what is refused leaves no trace."""
    state, log = JOB.initial, []
    for command in commands:
        try:
            events = JOB.decide(command, state, OTHERS)
        except Rejection:
            continue
        for event in events:
            before, state = state, JOB.evolve(state, event)
            log.append((before, event, state))
    return log


class TestAnySequenceOfCommands:
    @UNHURRIED
    @for_any(st.lists(COMMAND, max_size=40) | likely_commands())
    def test_leaves_an_ended_job_as_it_ended(self, commands):
        for before, _, after in run(commands):
            if before.status in ENDED:
                assert after == before

    @UNHURRIED
    @for_any(likely_commands())
    def test_never_puts_an_attempt_on_two_nodes(self, commands):
        placed = [event.attempt for _, event, _ in run(commands) if isinstance(event, JobAssigned)]
        assert placed == sorted(set(placed))

    @UNHURRIED
    @for_any(likely_commands())
    def test_ends_each_attempt_once(self, commands):
        over = [event.attempt for _, event, _ in run(commands) if isinstance(event, JobAttemptFailed | JobRequeued)]
        assert over == sorted(set(over))

    @UNHURRIED
    @for_any(likely_commands())
    def test_never_retries_more_often_than_allowed(self, commands):
        log = run(commands)
        failed = sum(isinstance(event, JobAttemptFailed) for _, event, _ in log)
        allowed = next((event.retries for _, event, _ in log if isinstance(event, JobSubmitted)), 0)
        assert failed <= allowed

    @UNHURRIED
    @for_any(st.lists(COMMAND, max_size=40) | likely_commands())
    def test_has_a_node_exactly_while_one_has_the_attempt(self, commands):
        for _, _, after in run(commands):
            assert (after.node_id is not None) == (after.status in ("assigned", "running"))

    @UNHURRIED
    @for_any(st.lists(COMMAND, max_size=40))
    def test_can_be_folded_in_any_order(self, commands):
        events = [event for _, event, _ in run(commands)]
        JOB.fold(events[::-1])
