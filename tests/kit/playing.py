"""Starts an example, follows its run to the end, and compares what came of it with what is said."""

from collections.abc import Callable

from tests.kit.example import Ask, Plays
from tests.kit.outside import Asked
from tests.kit.specification import parsed, text_of
from tests.kit.system import Run, Workflows
from tests.write_side.dsl_case import has

MARGIN_S = 20.0


def begin(workflows: Workflows, name: str, given: object = None) -> Run:
    """Register an example of the specification and start it."""
    text = text_of(name)
    definition = parsed(text)
    assert isinstance(definition, dict)
    workflows.register(text)
    return workflows.start(definition["document"], given)


def is_asked(asked: Asked, ask: Ask) -> bool:
    return (
        (asked.method, asked.url) == (ask.method, ask.url)
        and ask.query.items() <= dict(asked.query).items()
        and ask.headers.items() <= asked.headers.items()
        and has(asked.body, ask.body)
    )


def are_asked_in_order(asked: list[Asked], asks: tuple[Ask, ...]) -> bool:
    left = iter(asked)
    return all(any(is_asked(each, ask) for each in left) for ask in asks)


def compare(run: Run, said: Plays, asked: Callable[[], list[Asked]]) -> None:
    """Tell the run what it is to hear, and wait for its end; `asked` gives what the world outside was asked by then."""
    if said.hears:
        run.until_awaiting("events")
    for event in said.hears:
        run.hear(event)
    found = run.ended(said.waits_s + MARGIN_S)
    if said.error is None:
        assert (found["status"], found["error"]) == ("completed", None), (found["error"], found["output"])
        assert has(found["output"], said.output), found["output"]
    else:
        assert found["status"] == "faulted", found["output"]
        assert has(found["error"], said.error), found["error"]
    assert are_asked_in_order(asked(), said.asks), asked()
