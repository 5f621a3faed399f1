"""What holds for every saga: names that are stored for ever, and a state of its own for each tenant."""

from pydantic import BaseModel

from sagas.catalog import CATALOG

NAMES = {
    "place_jobs_on_nodes",
    "queue_jobs_on_dependencies",
    "assign_tasks_on_request",
    "time_out_tasks_on_deadline",
    "time_out_approvals_on_deadline",
    "time_runs_on_task",
    "start_child_runs_on_task",
    "ask_agents_on_run_task",
    "submit_jobs_on_run_task",
    "ask_people_on_run_task",
    "deliver_events_to_runs",
    "start_runs_on_schedule",
}


def parts(state):
    """All that of a state can change in place."""
    for name in type(state).model_fields:
        value = getattr(state, name)
        if isinstance(value, BaseModel):
            yield from parts(value)
        if isinstance(value, BaseModel | dict | list | set):
            yield value


class TestEverySaga:
    def test_has_the_name_that_is_stored(self):
        assert {saga.name for saga in CATALOG} == NAMES
        assert len(CATALOG) == len(NAMES)

    def test_keeps_the_states_of_two_tenants_apart(self):
        for saga in CATALOG:
            one, other = saga.state(), saga.state()
            assert {id(part) for part in parts(one)}.isdisjoint({id(part) for part in parts(other)}), saga.name
