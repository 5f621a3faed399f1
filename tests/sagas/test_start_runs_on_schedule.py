"""Runs that start by schedules, told as stories."""

from datetime import timedelta

import pytest

from events.event import JSON_DEPTH_MAX
from events.message import MessagePublished
from events.run import RunCancelled, RunCompleted, RunEventEmitted, RunFaulted
from events.run_compensation import RunCompensated
from events.workflow import WorkflowActivated, WorkflowDeprecated, WorkflowRegistered
from infra.patterns.saga import Schedule
from sagas.schedule_events import COLLECTIONS_MAX, Collection
from sagas.start_runs_on_schedule import START_RUNS_ON_SCHEDULE
from tests.sagas.run_stories import DIGEST, NOON, error, later, nested, started
from write_side.run_commands import StartScheduledRun

HOUR = timedelta(hours=1)
FAULT = RunFaulted(error=error("runtime", 500))


def registered(schedule, version="1.0.0", name="w"):
    definition = {"document": {}, "do": [], **({"schedule": schedule} if schedule else {})}
    return WorkflowRegistered(namespace="t", name=name, workflow_version=version, digest=DIGEST, definition=definition)


def activated(version="1.0.0"):
    return WorkflowActivated(workflow_version=version)


def deprecated(version="1.0.0"):
    return WorkflowDeprecated(workflow_version=version)


def start(kind, what, version="1.0.0", activation=1, given=None, workflow="t.w"):
    stamp = what if isinstance(what, str) else what.strftime("%Y%m%dT%H%M%S.%fZ")
    return StartScheduledRun(
        run_id=f"{workflow}.{kind}.{stamp}",
        workflow_id=workflow,
        workflow_version=version,
        activation=activation,
        input={} if given is None else given,
        labels={"schedule": kind},
    )


def at(kind, due_at, **more):
    return Schedule(due_at, start(kind, due_at, **more))


def run_started(workflow="t.w"):
    return started(workflow_id=workflow)


@pytest.fixture
def schedules(story):
    return story(START_RUNS_ON_SCHEDULE)


@pytest.fixture
def scheduled(schedules):
    def begin(schedule):
        return schedules.given("workflow-t.w", registered(schedule)).given("workflow-t.w", activated(), at=NOON)

    return begin


def stamp_of(kind, due_at):
    return f"run-t.w.{kind}.{due_at.strftime('%Y%m%dT%H%M%S.%fZ')}"


class TestEvery:
    @pytest.mark.parametrize("every", ["PT1H", {"hours": 1}, {"minutes": 59, "seconds": 59, "milliseconds": 1_000}])
    def test_begins_an_interval_after_the_activation(self, schedules, scheduled, every):
        schedules.given("workflow-t.w", registered({"every": every})).then_nothing()
        scheduled({"every": every}).then(at("every", NOON + HOUR))

    def test_goes_on_from_run_to_run_whether_or_not_they_have_ended(self, scheduled):
        story = scheduled({"every": "PT1H"})
        story.given(stamp_of("every", NOON + HOUR), run_started(), at=NOON + HOUR + timedelta(seconds=3))
        story.then(at("every", NOON + 2 * HOUR))
        story.given(stamp_of("every", NOON + HOUR), RunCompleted()).then_nothing()

    def test_leaves_out_what_passed_while_nothing_ran(self, scheduled):
        story = scheduled({"every": "PT1H"})
        story.given(stamp_of("every", NOON + HOUR), run_started(), at=NOON + 5.5 * HOUR)
        story.then(at("every", NOON + 6 * HOUR))

    def test_leaves_out_a_time_that_is_just_now(self, scheduled):
        story = scheduled({"every": "PT1H"})
        story.given(stamp_of("every", NOON + HOUR), run_started(), at=NOON + 5 * HOUR).then(
            at("every", NOON + 6 * HOUR)
        )

    def test_does_not_mind_other_runs_of_the_workflow(self, scheduled):
        scheduled({"every": "PT1H"}).given("run-mine", run_started()).then_nothing()


class TestCron:
    def test_begins_at_its_first_time_and_goes_on(self, scheduled):
        story = scheduled({"cron": "0 0 * * *"}).then(at("cron", NOON + 12 * HOUR))
        story.given(stamp_of("cron", NOON + 12 * HOUR), run_started(), at=NOON + 12 * HOUR)
        story.then(at("cron", NOON + 36 * HOUR))

    def test_leaves_out_what_passed_while_nothing_ran(self, scheduled):
        story = scheduled({"cron": "0 0 * * *"})
        story.given(stamp_of("cron", NOON + 12 * HOUR), run_started(), at=NOON + 70 * HOUR)
        story.then(at("cron", NOON + 84 * HOUR))

    def test_goes_on_after_the_last_that_began_though_another_activation_was_decided_before_it(self, scheduled):
        """The time of an event is that of its decision: it may get into the log behind what happened later."""
        story = scheduled({"cron": "0 0 * * *"}).given("workflow-t.w", registered({"cron": "0 0 * * *"}, "2.0.0"))
        story.given(stamp_of("cron", NOON + 12 * HOUR), run_started(), at=NOON + 12 * HOUR)
        story.given("workflow-t.w", activated("2.0.0"), at=NOON + 12 * HOUR - timedelta(milliseconds=1))
        story.then(at("cron", NOON + 36 * HOUR, version="2.0.0", activation=2))

    def test_may_stand_beside_another(self, scheduled):
        story = scheduled({"cron": "0 0 * * *", "every": "P1D"})
        story.then(at("every", NOON + 24 * HOUR), at("cron", NOON + 12 * HOUR))
        story.given(stamp_of("every", NOON + 24 * HOUR), run_started(), at=NOON + 24 * HOUR)
        story.then(at("every", NOON + 48 * HOUR))


class TestAfter:
    def test_begins_with_the_activation(self, scheduled):
        scheduled({"after": "PT1H"}).then(start("after", NOON))

    @pytest.mark.parametrize("end", [RunCompleted(), FAULT, RunCancelled(), RunCompensated()])
    def test_goes_on_some_time_after_the_end_of_the_run_before(self, scheduled, end):
        story = scheduled({"after": "PT1H"}).given(stamp_of("after", NOON), run_started()).then_nothing()
        story.given(stamp_of("after", NOON), end, at=later(30)).then(at("after", later(30) + HOUR))
        story.given(stamp_of("after", later(30) + HOUR), run_started()).then_nothing()

    def test_goes_on_once_although_a_failed_run_is_taken_up_again(self, scheduled):
        story = scheduled({"after": "PT1H"}).given(stamp_of("after", NOON), run_started())
        story.given(stamp_of("after", NOON), FAULT).given(stamp_of("after", NOON), RunCompleted()).then_nothing()

    def test_does_not_mind_other_runs_of_the_workflow(self, scheduled):
        story = scheduled({"after": "PT1H"}).given("run-mine", run_started()).given("run-mine", RunCompleted())
        story.then_nothing()


class TestAVersion:
    def test_without_a_schedule_starts_nothing(self, scheduled):
        scheduled(None).then_nothing()

    @pytest.mark.parametrize("given_up", [(deprecated(),), (registered(None, "2.0.0"), activated("2.0.0"))])
    @pytest.mark.parametrize("kind", ["every", "after"])
    def test_that_is_active_no_more_sets_no_timer(self, scheduled, given_up, kind):
        story = scheduled({kind: "PT1H"})
        due_at = NOON + HOUR if kind == "every" else NOON
        for event in given_up:
            story.given("workflow-t.w", event)
        story.given(stamp_of(kind, due_at), run_started()).then_nothing()
        story.given(stamp_of(kind, due_at), RunCompleted()).then_nothing()

    def test_is_followed_by_the_next_with_its_own_schedule(self, scheduled):
        story = scheduled({"every": "PT1H"}).given("workflow-t.w", registered({"every": "PT2H"}, "2.0.0"))
        story.given("workflow-t.w", activated("2.0.0"), at=later(60))
        story.then(at("every", later(60) + 2 * HOUR, version="2.0.0", activation=2))

    def test_begins_anew_when_it_is_activated_again(self, scheduled):
        story = scheduled({"every": "PT1H"}).given("workflow-t.w", registered(None, "2.0.0"), activated("2.0.0"))
        story.given("workflow-t.w", activated(), at=later(60)).then(at("every", later(60) + HOUR, activation=3))
        story.given(stamp_of("every", NOON + HOUR), run_started()).then_nothing()

    def test_that_was_not_active_is_deprecated_without_a_trace(self, scheduled):
        story = scheduled({"every": "PT1H"}).given("workflow-t.w", registered({"every": "PT2H"}, "2.0.0"))
        story.given("workflow-t.w", deprecated("2.0.0")).then_nothing()
        story.given(stamp_of("every", NOON + HOUR), run_started(), at=NOON + HOUR).then(at("every", NOON + 2 * HOUR))

    def test_of_a_long_name_starts_runs_with_ids_that_are_short_enough(self, schedules):
        stream = f"workflow-{'n' * 63}.{'w' * 63}"
        schedules.given(stream, registered({"every": "PT1H"})).given(stream, activated(), at=NOON)
        (timer,) = schedules.asked
        assert len(timer.command.run_id) <= 128
        assert timer.command.workflow_id == stream.removeprefix("workflow-")
        schedules.given(f"run-{timer.command.run_id}", run_started(timer.command.workflow_id))
        assert len(schedules.asked) == 1


def message(type_="order.paid", data=None, source="/shop"):
    return MessagePublished(event_id="1", source=source, event_type=type_, data=data)


def on(workflow="t.w", position=3, given=None, activation=1):
    return start("on", str(position), given=given, workflow=workflow, activation=activation)


class TestOnOneOrAny:
    def test_starts_a_run_with_the_data_of_each_event_that_is_meant(self, scheduled):
        story = scheduled({"on": {"one": {"with": {"type": "order.paid"}}}}).then_nothing()
        story.given("message-1", message(data={"id": 7})).then(on(position=3, given=[{"id": 7}]))
        story.given("message-2", message("order.lost")).then_nothing()
        story.given("run-x", RunEventEmitted(task=1, event={"type": "order.paid", "data": 8})).then(
            on(position=5, given=[8])
        )

    def test_starts_a_run_with_the_whole_event_if_that_is_read(self, scheduled):
        story = scheduled({"on": {"one": {"with": {"type": "order.paid"}}}, "read": "envelope"})
        whole = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.paid", "data": 1}
        story.given("message-1", message(data=1)).then(on(given=[whole]))

    @pytest.mark.parametrize(
        ("wanted", "starts"),
        [
            ({"type": "order.paid", "source": "/shop"}, True),
            ({"type": "order.paid", "source": "/other"}, False),
            ({"type": "order[.](paid|sent)"}, True),
            ({"source": "/sh[a-n]p"}, False),
            ({"data": "${ .amount > 5 }"}, True),
            ({"data": "${ .amount > 50 }"}, False),
            ({"data": "${ .amount.no.such }"}, False),
            ({"data": {"amount": 7}}, True),
            ({"data": {"amount": "${ . == 8 }"}}, False),
            ({"data": {"amount": "${ . - 7 }"}}, True),
            ({"data": {"some": True}}, False),
            ({"data": {"none": [0]}}, True),
            ({"data": {"none": [False]}}, False),
            ({"traceid": "x"}, False),
        ],
    )
    def test_asks_of_an_event_what_its_filter_says(self, scheduled, wanted, starts):
        story = scheduled({"on": {"any": [{"with": {"type": "never"}}, {"with": wanted}]}})
        data = {"amount": 7, "to": "x", "some": 1, "none": [0]}
        story.given("message-1", message(data=data)).then(*([on(given=[data])] if starts else []))

    def test_starts_a_run_on_every_event_if_it_names_none(self, scheduled):
        scheduled({"on": {"any": []}}).given("message-1", message(data=1)).then(on(given=[1]))

    @pytest.mark.parametrize(("customer", "starts"), [("c1", True), ("c2", False)])
    def test_starts_a_run_on_events_that_correlate_with_what_is_expected(self, scheduled, customer, starts):
        correlate = {"customer": {"from": "${ .data.customer }", "expect": "c1"}}
        story = scheduled({"on": {"one": {"with": {"type": "order.paid"}, "correlate": correlate}}})
        data = {"customer": customer}
        story.given("message-1", message(data=data)).then(*([on(given=[data])] if starts else []))

    def test_starts_nothing_once_its_version_is_given_up(self, scheduled):
        story = scheduled({"on": {"one": {"with": {"type": "order.paid"}}}}).given("workflow-t.w", deprecated())
        story.given("message-1", message()).then_nothing()
        assert story.state.by_type == {}

    def test_starts_runs_of_each_workflow_that_means_the_event(self, scheduled):
        story = scheduled({"on": {"one": {"with": {"type": "order.paid"}}}})
        story.given("workflow-t.a", registered({"on": {"any": []}}, name="a")).given("workflow-t.a", activated())
        story.given("message-1", message(data=1))
        story.then(on("t.a", position=5, given=[1]), on("t.w", position=5, given=[1]))

    def test_starts_nothing_with_what_no_run_can_begin_with(self, scheduled):
        """An event may be emitted as deep as any value: in the list that a run begins with it is a level deeper."""
        story = scheduled({"on": {"any": []}, "read": "envelope"})
        story.given("workflow-t.z", registered({"on": {"any": []}}, name="z")).given("workflow-t.z", activated())
        event = {"type": "order.paid", "data": nested(JSON_DEPTH_MAX - 1)}
        story.given("run-x", RunEventEmitted(task=1, event=event)).then(on("t.z", position=5, given=[event["data"]]))


class TestOnAll:
    ALL = {"on": {"all": [{"with": {"type": "order.paid"}}, {"with": {"type": "order.sent"}}]}}

    def test_starts_a_run_once_all_are_there(self, scheduled):
        story = scheduled(self.ALL).given("message-1", message("order.sent", 1)).then_nothing()
        story.given("message-2", message("order.paid", 2)).then(on(position=4, given=[1, 2]))
        story.given("message-3", message("order.paid", 3)).then_nothing()

    def test_keeps_what_comes_twice_for_the_run_after_it(self, scheduled):
        story = scheduled(self.ALL).given("message-1", message(data=1)).given("message-2", message(data=2))
        story.given("message-3", message("order.sent", 3)).then(on(position=5, given=[1, 3]))
        story.given("message-4", message("order.sent", 4)).then(on(position=6, given=[2, 4]))
        assert story.state.workflows["t.w"].collected == []

    def test_keeps_apart_what_does_not_belong_together(self, scheduled):
        correlate = {"order": {"from": "${ .data.order }"}}
        wanted = [{"with": {"type": type_}, "correlate": correlate} for type_ in ("order.paid", "order.sent")]
        story = scheduled({"on": {"all": wanted}})
        story.given("message-1", message(data={"order": 1})).given("message-2", message(data={"order": 2}))
        story.given("message-3", message("order.sent", {"order": 2}))
        story.then(on(position=5, given=[{"order": 2}, {"order": 2}]))

    def test_keeps_apart_what_belongs_to_true_and_to_1(self, scheduled):
        correlate = {"order": {"from": "${ .data }"}}
        wanted = [{"with": {"type": type_}, "correlate": correlate} for type_ in ("order.paid", "order.sent")]
        story = scheduled({"on": {"all": wanted}})
        story.given("message-1", message(data=1)).given("message-2", message("order.sent", True)).then_nothing()
        story.given("message-3", message("order.sent", 1)).then(on(position=5, given=[1, 1]))

    def test_gives_up_the_oldest_of_too_many(self, scheduled):
        story = scheduled(self.ALL)
        workflow = story.state.workflows["t.w"]
        workflow.collected = [Collection(passed=[0], items=[number]) for number in range(COLLECTIONS_MAX)]
        story.given("message-1", message(data="last"))
        kept = story.state.workflows["t.w"].collected
        assert (len(kept), kept[0].items, kept[-1].items) == (COLLECTIONS_MAX, [1], ["last"])

    def test_forgets_what_it_has_when_the_version_is_given_up(self, scheduled):
        story = scheduled(self.ALL).given("message-1", message()).given("workflow-t.w", deprecated())
        assert story.state.workflows["t.w"].collected == []
