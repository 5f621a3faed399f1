"""A task that fails while its run is suspended stays failed, whatever it listened for comes meanwhile."""

from datetime import timedelta

from tests.write_side.running import START, run
from write_side.run_commands import DeliverRunEvent, ResumeRun, SuspendRun, TimeOutRunTask

LISTEN = {"listen": {"to": {"all": [{"with": {"type": "a"}}, {"with": {"type": "b"}}]}}, "timeout": {"after": "PT1M"}}


class TestAListeningTaskThatTimedOutWhileItsRunWasSuspended:
    def test_takes_no_event_and_fails_the_run_when_that_goes_on(self):
        running = run([{"hear": LISTEN}])
        running.send(SuspendRun(run_id="r1"))
        running.send(TimeOutRunTask(run_id="r1", task=1, due_at=START + timedelta(minutes=1), at=START))
        assert running.send(DeliverRunEvent(run_id="r1", event={"id": "1", "type": "a"}, at=START)) == []
        assert (running.tell(ResumeRun(run_id="r1")).status, running.error["status"]) == ("faulted", 408)
