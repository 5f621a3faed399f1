"""Examples that need nobody: data, flow, errors, waiting, processes and events."""

from tests.kit.example import Ask, Own, Plays, Said, event
from tests.kit.routes import CASINO, PETSTORE, RACE, SERVICE
from tests.write_side.dsl_case import STANDARD, UNSAID

TEMPERATURE = "com.fake-hospital.vitals.measurements.temperature"
HEARTBEAT = "com.fake-hospital.vitals.measurements.bpm"
CHECKED_OUT = "com.fake-hospital.patient.checked-out"
SENSORS = {"source": "https://my.home.com/sensor"}
CONTAINER = Own("test_runs_its_container_to_its_end")

HOT, COOL = event(TEMPERATURE, {"temperature": 39}), event(TEMPERATURE, {"temperature": 37})
FAST, NORMAL = event(HEARTBEAT, {"bpm": 120}), event(HEARTBEAT, {"bpm": 80})
GOSSIP = [event("gossip", {"number": number}) for number in range(4)]
NOT_IMPLEMENTED = {
    "type": "https://serverlessworkflow.io/errors/not-implemented",
    "status": 500,
    "title": "Not Implemented",
    "detail": "The workflow 'raise-not-implemented:0.1.0' is a work in progress and cannot be run yet",
    "instance": "/do/0/notImplemented",
}
COLORS = [{"name": "red", "hex": "#FF0000"}, {"name": "green", "hex": "#00FF00"}, {"name": "blue", "hex": "#0000FF"}]

TASKS: dict[str, Said] = {
    # Listening yields a list, of which `.data.reading` cannot be had: the example fails as soon as it has heard both.
    "accumulate-room-readings": Plays(
        hears=(
            event("my.home.sensors.temperature", {"reading": 21}, roomid="kitchen", **SENSORS),
            event("my.home.sensors.humidity", {"reading": 40}, roomid="bath", **SENSORS),
            event("my.home.sensors.humidity", {"reading": 60}, roomid="kitchen", **SENSORS),
        ),
        error={"type": f"{STANDARD}expression", "status": 400, "instance": "/do/0/consumeReading"},
    ),
    "conditional-task": Plays(
        {"customer": {"age": 30}, "bet": 5},
        # Neither is an expression: it does not stand between `${` and `}`.
        asks=(Ask("POST", f"{CASINO}/api/bet/on/football", body={"customer": ".customer", "bet": ".bet"}),),
    ),
    "emit": Plays(
        output={
            "specversion": "1.0",
            "source": "https://petstore.com",
            "type": "com.petstore.order.placed.v1",
            "id": UNSAID,
            "time": UNSAID,
            "data": {
                "client": {"firstName": "Cruella", "lastName": "de Vil"},
                "items": [{"breed": "dalmatian", "quantity": 101}],
            },
        }
    ),
    "for": Own("test_ends_its_loop_once_there_is_no_vet"),
    "for-inline-array": Plays({}, output={"processed": COLORS}),
    "fork": Own("test_has_the_nurse_come_and_sends_the_doctor_away"),
    "listen-to-all": Plays(hears=(COOL, FAST, NORMAL, HOT), output=[FAST["data"], HOT["data"]]),
    "listen-to-all read-envelope": Plays(hears=(COOL, FAST, HOT), output=[FAST, HOT]),
    "listen-to-any": Plays(hears=(GOSSIP[0],), output=[GOSSIP[0]["data"]]),
    "listen-to-any-filter": Plays(hears=(COOL, NORMAL, FAST), output=[FAST["data"]]),
    "listen-to-any-forever-foreach": Own("test_passes_on_each_gossip_for_ever"),
    "listen-to-any-until-condition": Plays(hears=tuple(GOSSIP), output=[each["data"] for each in GOSSIP]),
    "listen-to-any-until-consumed": Plays(
        hears=(HOT, COOL, FAST, event(CHECKED_OUT, {"patient": 7})), output=[HOT["data"], FAST["data"]]
    ),
    # What is heard is a list, and a list has no `carId`: nothing stands in its place.
    "listen-to-one": Plays(
        {"carId": 4},
        hears=(event("com.virtual-wf-powered-race.events.race.started.v1", {"carId": 7}),),
        asks=(Ask("POST", f"{RACE}/api/v4/cars//start"),),
    ),
    "raise-inline": Plays(error=NOT_IMPLEMENTED),
    "raise-reusable": Plays(error=NOT_IMPLEMENTED),
    "run-container": CONTAINER,
    "run-container-cleanup-always": CONTAINER,
    "run-container-cleanup-eventually": CONTAINER,
    "run-container-stdin-and-arguments": CONTAINER,
    "run-container-with-name": CONTAINER,
    "run-container-with-pull-policy": CONTAINER,
    "run-return-all": CONTAINER,
    "run-return-code": CONTAINER,
    "run-return-none": CONTAINER,
    "run-return-stderr": CONTAINER,
    "run-script-with-stdin-and-arguments": Own("test_writes_what_it_was_given"),
    "run-shell-stdin-and-arguments": Plays(output="STDIN was: Hello World\nARGS are Foo Bar\n"),
    "run-subflow": Own("test_runs_the_other_workflow"),
    "schedule-cron": Own("test_starts_the_backup_when_somebody_does_not_wait_for_midnight"),
    "schedule-event-driven": Own("test_calls_the_nurse_when_the_event_comes"),
    "set": Own("test_sets_what_it_was_started_by"),
    "set-expression": Own("test_is_what_it_was_started_by"),
    "switch-then-string": Plays({"orderType": "electronic"}, output={"validate": True, "status": "fulfilled"}),
    "try-catch": Plays({"petId": 404}, asks=(Ask("GET", f"{PETSTORE}/v2/pet/404"),)),
    "try-catch-retry-inline": Own("test_tries_again_while_the_petstore_is_not_there"),
    "try-catch-retry-reusable": Own("test_tries_again_while_the_petstore_is_not_there"),
    "try-catch-then": Own("test_tells_support_and_buys_nothing"),
    "try-catch-then-directive": Plays(output={"status": "failed"}, asks=(Ask("GET", f"{SERVICE}/api"),)),
    "wait-duration-inline": Plays({"kept": 1}, output={"kept": 1}, waits_s=30.0),
    "wait-duration-iso8601": Plays({"kept": 1}, output={"kept": 1}, waits_s=30.0),
}
