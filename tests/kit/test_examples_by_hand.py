"""The examples that more has to be done for than to start them and to tell them something."""

import shutil
import time

import pytest

from tests.kit.examples_of_tasks import GOSSIP
from tests.kit.outside import Answer, Outside
from tests.kit.playing import begin
from tests.kit.routes import CHAT, HOSPITAL, PETS, PETSTORE
from tests.kit.system import END_S_MAX, POLL_S, Workflows
from tests.write_side.dsl_case import has

pytestmark = [pytest.mark.data, pytest.mark.servers]

CHILD = """
document: {dsl: 1.0.3, namespace: test, name: register-customer, version: 0.1.0}
do: [{welcome: {set: {welcomed: "${ .customer }"}}}]
"""


class TestForExample:
    def test_ends_its_loop_once_there_is_no_vet(self, workflows: Workflows) -> None:
        given = {"pets": [{"id": 1}, {"id": 2}], "vet": None}
        found = begin(workflows, "for", given).ended()
        assert (found["status"], found["output"]) == ("completed", given)


class TestForkExample:
    def test_has_the_nurse_come_and_sends_the_doctor_away(self, workflows: Workflows, outside: Outside) -> None:
        run = begin(workflows, "fork", {"patient": {"fullName": "Ann Lee"}, "room": {"number": 7}})
        found = run.ended()
        assert (found["status"], found["output"]) == ("completed", {"comes": "nurse"})
        status = {task["name"]: task["status"] for task in run.tasks()}
        assert (status["callNurse"], status["callDoctor"]) == ("completed", "cancelled")
        bodies = [asked.body for asked in outside.asked(HOSPITAL)]
        assert bodies == [{"patientId": "Ann Lee", "room": 7}] * 2


class TestListenToAnyForeverForeachExample:
    def test_passes_on_each_gossip_for_ever(self, workflows: Workflows, outside: Outside) -> None:
        run = begin(workflows, "listen-to-any-forever-foreach", {"roomId": "42"})
        run.until_awaiting("events")
        for event in GOSSIP:
            run.hear(event)
        until = time.monotonic() + END_S_MAX
        while len(outside.asked(CHAT)) < len(GOSSIP) and time.monotonic() < until:
            time.sleep(POLL_S)
        run.cancel()
        assert run.ended()["status"] == "cancelled"
        assert [(asked.path, asked.body) for asked in outside.asked(CHAT)] == [
            ("/room/42", {"event": event["data"]}) for event in GOSSIP
        ]


class TestRunScriptExample:
    @pytest.mark.skipif(shutil.which("node") is None, reason="a script in JavaScript needs node")
    def test_writes_what_it_was_given(self, workflows: Workflows) -> None:
        found = begin(workflows, "run-script-with-stdin-and-arguments").ended()
        assert (found["status"], found["error"]) == ("completed", None)
        assert found["output"] == "stdin >  Hello Workflow\narg >  hello\nenv >  bar\n"


class TestRunSubflowExample:
    def test_runs_the_other_workflow(self, workflows: Workflows) -> None:
        workflows.register(CHILD)
        found = begin(workflows, "run-subflow", {"user": "Ann"}).ended()
        # `.user` does not stand between `${` and `}`: it is handed over as it is.
        assert (found["status"], found["output"]) == ("completed", {"welcomed": ".user"})


class TestTryCatchRetryExamples:
    @pytest.mark.parametrize("name", ["try-catch-retry-inline", "try-catch-retry-reusable"])
    def test_tries_again_while_the_petstore_is_not_there(
        self, workflows: Workflows, outside: Outside, name: str
    ) -> None:
        outside.first(f"{PETSTORE}/v2/pet/1", Answer(503))
        since = time.monotonic()
        found = begin(workflows, name, {"petId": 1}).ended()
        assert (found["status"], found["output"]) == ("completed", PETS[1])
        assert time.monotonic() - since >= 3
        assert len(outside.asked(PETSTORE)) == 2


class TestTryCatchThenExample:
    def test_tells_support_and_buys_nothing(self, workflows: Workflows, outside: Outside) -> None:
        run = begin(workflows, "try-catch-then", {"petId": 404})
        found = run.ended()
        # `$error` does not stand between `${` and `}`: it is set as it is. What is exported is the error.
        assert (found["status"], found["output"]) == ("completed", {"error": "$error"})
        [emitted] = run.events("run.event_emitted")
        assert has(
            emitted["data"]["event"],
            {
                "type": "io.swagger.petstore.events.pets.not-found.v1",
                "data": {"status": 404, "instance": "/do/0/tryGetPet/try/0/getPet"},
            },
        )
        assert run.begun()[-1] == "buyPet"
        assert [asked.method for asked in outside.asked(PETSTORE)] == ["GET"]

    def test_buys_the_pet_that_there_is(self, workflows: Workflows, outside: Outside) -> None:
        found = begin(workflows, "try-catch-then", {"petId": 2}).ended()
        assert (found["status"], found["output"]) == ("completed", {**PETS[2], "status": "sold"})
        assert [asked.method for asked in outside.asked(PETSTORE)] == ["GET", "PUT"]
