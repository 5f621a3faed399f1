"""Trips that are booked whole or not at all: agents book, a person approves, and where a car is missing the rest is undone."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from read_side.demo.checks import Check, same, values_in_words
from read_side.demo.desks import CannotBeDone, Desk
from read_side.demo.scenario import Agent, JsonObject
from read_side.demo.workflow_evidence import RunSeen, WorkflowsSeen

TRIP_FILE = "book-trip.yaml"
TRIP = "travel.book-trip"
UNDONE, MADE = "trip-to-lisbon", "trip-to-rome"
TRIPS: Mapping[str, JsonObject] = {UNDONE: {"to": "Lisbon"}, MADE: {"to": "Rome"}}
"""The input of each run, by its id."""

APPROVER = "mia"
AIRLINE, HOTEL, CARS = "airline", "hotel", "cars"
WITHOUT_CARS = "Lisbon"
NO_CAR = "No car is left in Lisbon."
CANCELLED = ("airline-lisbon", "hotel-lisbon")
BOOKED: Mapping[str, str] = {"flight": "airline-rome", "hotel": "hotel-rome", "car": "cars-rome"}
AGENT_TASKS = 8
"""What the agents are asked: three bookings for each trip, and two to cancel."""

TRAVEL_AGENTS = tuple(
    Agent(
        name, f"{name.capitalize()} agent", "book-travel", "You book, and cancel what you booked.", ("book", "cancel")
    )
    for name in (AIRLINE, HOTEL, CARS)
)


class Bookings:
    """The agents' own books, outside of Foldwork: every booking and cancellation that took effect, as often as it did."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.cancelled: list[str] = []

    @property
    def desks(self) -> Mapping[str, Desk]:
        return {agent.id: partial(self._answer, agent.id) for agent in TRAVEL_AGENTS}

    def _answer(self, agent_id: str, asked: JsonObject) -> JsonObject:
        if "cancel" in asked:
            self.cancelled.append(str(asked["cancel"]))
            return {"cancelled": asked["cancel"]}
        if agent_id == CARS and asked["to"] == WITHOUT_CARS:
            raise CannotBeDone(NO_CAR)
        booking = f"{agent_id}-{asked['to']}".lower()
        self.made.append(booking)
        return {"booking": booking}


def check_trips(seen: WorkflowsSeen, bookings: Bookings) -> Iterator[Check]:
    undone, made = seen.runs[UNDONE], seen.runs[MADE]
    yield same("trip without a car", "compensated", undone.run.status)
    yield same("its original error", NO_CAR, None if undone.run.error is None else undone.run.error.detail)
    yield same("its bookings undone, the last one first", *_orders(undone))
    yield same("trip with a car", "completed", made.run.status)
    yield same("its bookings", values_in_words(BOOKED), values_in_words(made.run.output))
    everything = [*CANCELLED, *BOOKED.values()]
    yield same("bookings of both, each once", len(everything), _as_often(bookings.made, everything))
    yield same("cancellations of both, each once", len(CANCELLED), _as_often(bookings.cancelled, CANCELLED))
    approved = [each.decisions[0].actor for each in seen.approvals if each.status == "approved"]
    yield same("trips that a person approved", ", ".join([APPROVER] * len(TRIPS)), ", ".join(approved))


def _orders(seen: RunSeen) -> tuple[str, str]:
    """The bookings in the order in which they have to be undone, and in the order in which they were."""
    names = {task.task: task.name for task in seen.tasks}
    booked = [
        names[seen.task_of(event)] for event in seen.events_of("run.task_completed") if _can_be_undone(event.data)
    ]
    undone = [names[seen.task_of(event, "of")] for event in seen.events_of("run.task_compensated")]
    return ", ".join(reversed(booked)), ", ".join(undone)


def _as_often(found: Iterable[str], expected: Iterable[str]) -> int:
    """How many of them there are, less one for each that is too many."""
    counted, wanted = Counter(found), Counter(expected)
    return (counted & wanted).total() - (counted - wanted).total()


def _can_be_undone(completed: JsonObject) -> bool:
    return completed.get("compensable") is True
