"""What is published of a run: the lifecycle events of the specification, each under its kind."""

from events.run import RunCompleted, RunStarted
from events.run_lifecycle import TOLD_OF
from infra.patterns.notices import Told
from sagas.publish_lifecycle_on_run_event import PUBLISH_LIFECYCLE_ON_RUN_EVENT
from tests.events.told import BEGUN, envelopes

NOTICES = PUBLISH_LIFECYCLE_ON_RUN_EVENT


class TestWhatIsPublished:
    def test_has_a_name_that_is_stored_and_hears_of_runs(self) -> None:
        assert NOTICES.name == "publish_lifecycle_on_run_event"
        assert {event.type.partition(".")[0] for event in NOTICES.handles} == {"run"}
        assert set(NOTICES.handles) == set(TOLD_OF) >= {RunStarted, RunCompleted}

    def test_is_told_in_the_words_of_the_specification(self) -> None:
        state = NOTICES.begin()
        *_, last = [NOTICES.tell(state, envelope) for envelope in envelopes([*BEGUN, RunCompleted()])]
        completed = b'{"name":"book-r1.travel","completedAt":"2026-01-01T12:00:03Z"}'
        changed = b'{"name":"book-r1.travel","updatedAt":"2026-01-01T12:00:03Z","status":"completed"}'
        assert list(last) == [
            Told("workflow.completed", "io.serverlessworkflow.workflow.completed.v1", completed),
            Told("workflow.status-changed", "io.serverlessworkflow.workflow.status-changed.v1", changed),
        ]

    def test_is_known_of_a_run_until_it_has_ended(self) -> None:
        state = NOTICES.begin()
        found = []
        for envelope in envelopes([*BEGUN, RunCompleted()]):
            NOTICES.tell(state, envelope)
            found.append(NOTICES.is_over(state))
        assert found == [False, False, True]
