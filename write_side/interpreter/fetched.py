"""What is so once documents that lie elsewhere are there: the run keeps what it got, and what needed them begins."""

from pydantic import JsonValue

from events.run_parts import DocumentsAwaited
from write_side.definition.digest import digest
from write_side.interpreter.changed import replace
from write_side.interpreter.state import Node, RunState
from write_side.interpreter.undone import begin_again


def fetched(state: RunState, node: Node, documents: JsonValue) -> RunState:
    """After a task that fetches has its documents, by their addresses."""
    assert isinstance(node.awaits, DocumentsAwaited)
    assert isinstance(documents, dict)
    if node.awaits.of == "schemas":
        state = replace(state, schemas={**documents, **state.schemas})
    elif not documents.keys() <= state.functions.keys():
        known = digest([state.functions_digest, documents])
        state = replace(state, functions={**documents, **state.functions}, functions_digest=known)
    return begin_again(state, node)
