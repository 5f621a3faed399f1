"""A faultless answer passes every comparison; each kind of fault shows in one."""

from collections.abc import Callable

from read_side.demo.checks import check_all, check_positions
from read_side.demo.evidence import Evidence, ProjectionSeen
from read_side.demo.log_audit import LogAudit
from read_side.demo.queries import WireEvent
from read_side.demo.scenario import Scenario
from read_side.demo.totals import totals_of

Answers = Callable[[Scenario], Evidence]


def differing(scenario: Scenario, seen: Evidence) -> set[str]:
    return {check.name for check in check_all(scenario, totals_of(scenario), seen) if not check.ok}


class TestAFaultlessAnswer:
    def test_passes_every_comparison(self, scenario: Scenario, faultless: Answers) -> None:
        assert differing(scenario, faultless(scenario)) == set()


def log_of(*positions: int) -> LogAudit:
    log = LogAudit()
    for position in positions:
        log.see(WireEvent(position=position, type="a.b", subject="a-1", streamversion=1, data={}))
    return log


class TestThePositionsOfTheLog:
    def test_are_without_gaps_over_all_tenants(self) -> None:
        assert check_positions(log_of(1, 2, 5), log_of(3, 4)).ok

    def test_show_a_gap(self) -> None:
        assert not check_positions(log_of(1, 2, 5), log_of(3)).ok

    def test_show_what_is_there_twice(self) -> None:
        assert not check_positions(log_of(1, 2, 2, 5), log_of(3)).ok
        assert not check_positions(log_of(1, 2), log_of(2, 4)).ok


class TestAFault:
    def test_shows_when_a_message_is_lost(self, scenario: Scenario, faultless: Answers) -> None:
        seen = faultless(scenario)
        seen.tasks[0] = seen.tasks[0].model_copy(update={"messages": seen.tasks[0].messages - 1})
        assert "messages" in differing(scenario, seen)

    def test_shows_when_two_steps_are_exchanged(self, scenario: Scenario, faultless: Answers) -> None:
        seen = faultless(scenario)
        rows = seen.timelines[scenario.runs[0].id]
        rows[1], rows[2] = rows[2], rows[1]
        assert "steps word for word, in order" in differing(scenario, seen)

    def test_shows_when_an_event_is_projected_twice(self, scenario: Scenario, faultless: Answers) -> None:
        seen = faultless(scenario)
        seen.jobs[0] = seen.jobs[0].model_copy(update={"version": seen.jobs[0].version + 1})
        assert differing(scenario, seen) == {"job events, each once"}

    def test_shows_when_a_timeline_has_a_row_twice(self, scenario: Scenario, faultless: Answers) -> None:
        seen = faultless(scenario)
        rows = seen.timelines[scenario.runs[0].id]
        rows.append(rows[-1])
        assert "timeline rows, one a task event" in differing(scenario, seen)

    def test_shows_when_a_child_starts_before_its_parent_has_ended(
        self, scenario: Scenario, faultless: Answers
    ) -> None:
        seen = faultless(scenario)
        place, child = next((place, job) for place, job in enumerate(seen.jobs) if job.depends_on)
        seen.jobs[place] = child.model_copy(update={"started_position": 1})
        assert "pipeline edges, parent before child" in differing(scenario, seen)

    def test_shows_when_a_gpu_millisecond_is_missing(self, scenario: Scenario, faultless: Answers) -> None:
        seen = faultless(scenario)
        place = next(place for place, job in enumerate(seen.jobs) if job.gpu_milli_ms)
        less = seen.jobs[place].gpu_milli_ms - 1
        seen.jobs[place] = seen.jobs[place].model_copy(update={"gpu_milli_ms": less})
        assert differing(scenario, seen) == {"GPU-seconds"}

    def test_shows_when_a_cancelled_pod_has_started(self, scenario: Scenario, faultless: Answers) -> None:
        seen = faultless(scenario)
        seen.log.started.add(next(pod.id for pod in scenario.pods if pod.ending == "cancelled"))
        assert differing(scenario, seen) == {"cancelled pods that started"}

    def test_shows_when_a_job_ends_twice(self, scenario: Scenario, faultless: Answers) -> None:
        seen = faultless(scenario)
        seen.log.endings[seen.jobs[0].job_id] += 1
        assert differing(scenario, seen) == {"jobs not ended exactly once"}

    def test_shows_when_a_summary_differs_from_the_rows(self, scenario: Scenario, faultless: Answers) -> None:
        seen = faultless(scenario)
        seen.summaries["jobs"].by_status["completed"] -= 1
        assert differing(scenario, seen) == {"summary of jobs"}

    def test_shows_when_a_read_model_is_behind(self, scenario: Scenario, faultless: Answers) -> None:
        seen = faultless(scenario)
        seen.projections.append(ProjectionSeen(name="task_board", position=seen.log.head - 1))
        assert differing(scenario, seen) == {"read models behind the log"}
