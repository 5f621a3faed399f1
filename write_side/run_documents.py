"""Decides what becomes of documents that a run asked for: it keeps what can be used, and fails where something cannot."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from events.run import RunEvent, RunTaskCompleted, RunTaskFaulted
from events.run_parts import DocumentsAwaited
from infra.expressions.failure import ExpressionFailed
from infra.expressions.schema import violations
from write_side.definition.reading import InvalidDefinition, read_definition
from write_side.definition.values import below
from write_side.interpreter.bounds import DOCUMENTS_BYTES_MAX, DOCUMENTS_MAX, size, within
from write_side.interpreter.documents import place_of
from write_side.interpreter.errors import Raised, standard
from write_side.interpreter.plan import FUNCTIONS, with_one_function
from write_side.interpreter.scope import Run
from write_side.interpreter.state import Node
from write_side.workflow import check_definition

EXPRESSIONS_MAX = 100
"""How many different expressions a function that lies elsewhere holds at most: runs of others wait while they are compiled."""
_DETAIL_CHARACTERS_MAX = 1_000


def received(run: Run, node: Node, answer: JsonValue) -> Sequence[RunEvent]:
    """What follows from the documents, by their addresses, that a task was to fetch."""
    place = place_of(run, node)
    try:
        documents, known = _documents(run, node, answer, place), _known(run, node)
        for address, document in documents.items():
            wrong = None if address in known else _wrong(run, node, address, document)
            if wrong is not None:
                raise Raised(standard("configuration", f"{address}: {wrong}"[:_DETAIL_CHARACTERS_MAX], place))
    except Raised as raised:
        return [RunTaskFaulted(task=node.task, error=raised.error)]
    return within([RunTaskCompleted(task=node.task, output=dict(documents))], node.task, place)


def _documents(run: Run, node: Node, answer: JsonValue, place: str) -> Mapping[str, JsonValue]:
    """Raises Raised where one is missing, and where they are more than a run may keep."""
    assert isinstance(node.awaits, DocumentsAwaited)
    given = answer if isinstance(answer, dict) else {}
    missing = [address for address in node.awaits.addresses if address not in given]
    if missing:
        raise Raised(standard("configuration", f"{missing[0]}: there is no document", place))
    # Another branch may have fetched it meanwhile: what the run has, it keeps.
    known, state = _known(run, node), run.state
    documents = {address: known.get(address, given[address]) for address in node.awaits.addresses}
    new = {address: document for address, document in documents.items() if address not in known}
    if len(state.functions) + len(state.schemas) + len(new) > DOCUMENTS_MAX:
        raise Raised(standard("runtime", f"a run fetches at most {DOCUMENTS_MAX} documents", place))
    if size([state.functions, state.schemas, new]) > DOCUMENTS_BYTES_MAX:
        raise Raised(standard("runtime", f"the documents of a run hold at most {DOCUMENTS_BYTES_MAX} bytes", place))
    return documents


def _known(run: Run, node: Node) -> Mapping[str, JsonValue]:
    assert isinstance(node.awaits, DocumentsAwaited)
    return run.state.functions if node.awaits.of == "function" else run.state.schemas


def _wrong(run: Run, node: Node, address: str, document: JsonValue) -> str | None:
    assert isinstance(node.awaits, DocumentsAwaited)
    if node.awaits.of == "function":
        return _wrong_function(run, address, document)
    try:
        violations(document, None)
    except ExpressionFailed as failed:
        return str(failed)
    return None


def _wrong_function(run: Run, address: str, document: JsonValue) -> str | None:
    """What is wrong with a task that others wrote: it knows no name that the workflow declares, and no secret."""
    alone = with_one_function(run.plan.document, address, document)
    try:
        check_definition(read_definition(alone), EXPRESSIONS_MAX)
    except InvalidDefinition as invalid:
        first = invalid.details["errors"][0]
        inside = first["pointer"].removeprefix(below(FUNCTIONS, address))
        return f"{inside or '/'}: {first['detail']}"
    return None
