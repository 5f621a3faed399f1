"""Statements about lifecycle events and status phases, by the sections of dsl-reference.md and dsl.md, and the test for each of them.

What is optional: the events of a changed status are published; `outputUri` is not, since an output has no address of its own.
"""

LIFECYCLE: dict[str, dict[str, str]] = {
    "Workflow Lifecycle Events": {
        "each event that is required is published under its type": "test_lifecycle.py::test_of_workflows_that_are_required_are_published",
    },
    "Workflow Started Event": {
        "is published with name, definition and startedAt": "test_lifecycle.py::test_is_started_with_its_definition",
    },
    "Workflow Suspended Event": {
        "is published with name and suspendedAt": "test_lifecycle.py::test_is_suspended",
    },
    "Workflow Resumed Event": {
        "is published with name and resumedAt": "test_lifecycle.py::test_is_resumed",
    },
    "Workflow Correlation Started Event": {
        "is published with name and startedAt": "test_lifecycle.py::test_has_started_correlating",
    },
    "Workflow Correlation Completed Event": {
        "is published with name, completedAt and the keys": "test_lifecycle.py::test_has_completed_correlating",
    },
    "Workflow Cancelled Event": {
        "is published with name and cancelledAt": "test_lifecycle.py::test_is_cancelled",
    },
    "Workflow Faulted Event": {
        "is published with name, faultedAt and the error": "test_lifecycle.py::test_is_faulted_with_its_error",
    },
    "Workflow Completed Event": {
        "is published with name and completedAt": "test_lifecycle.py::test_is_completed",
    },
    "Workflow Status Changed Event": {
        "is published with name, updatedAt and status, or not at all": "test_lifecycle.py::test_tells_when_its_status_has_changed",
    },
    "Task Lifecycle Events": {
        "each event that is required is published under its type": "test_lifecycle.py::test_of_tasks_that_are_required_are_published",
    },
    "Task Created Event": {
        "is published with workflow, task and createdAt": "test_lifecycle.py::test_is_created",
    },
    "Task Started Event": {
        "is published with workflow, task and startedAt": "test_lifecycle.py::test_is_started",
    },
    "Task Suspended Event": {
        "is published with workflow, task and suspendedAt": "test_lifecycle.py::test_that_is_open_is_suspended",
    },
    "Task Resumed Event": {
        "is published with workflow, task and resumedAt": "test_lifecycle.py::test_that_is_suspended_is_resumed",
    },
    "Task Retried Event": {
        "is published with workflow, task and retriedAt": "test_lifecycle.py::test_is_retried",
    },
    "Task Cancelled Event": {
        "is published with workflow, task and cancelledAt": "test_lifecycle.py::test_that_is_open_is_cancelled",
    },
    "Task Faulted Event": {
        "is published with workflow, task, faultedAt and the error": "test_lifecycle.py::test_has_faulted_with_its_error",
    },
    "Task Completed Event": {
        "is published with workflow, task and completedAt": "test_lifecycle.py::test_has_completed",
    },
    "Task Status Changed Event": {
        "is published with workflow, task, updatedAt and status, or not at all": "test_lifecycle.py::test_tells_each_of_its_phases",
    },
    "Status Phases": {
        "the phases of runs and tasks can be seen: pending, running, waiting, suspended, cancelled, faulted, completed": (
            "test_lifecycle.py::test_of_runs_and_tasks_can_all_be_seen"
        ),
    },
}
