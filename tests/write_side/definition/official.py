"""The official schema of the Open Workflow Specification, its documents, and a second opinion on any document."""

import json
import re
import textwrap
from datetime import datetime
from functools import cached_property
from pathlib import Path

import jsonschema
import jsonschema_rs

from infra.adapters.document_text import parse_document
from infra.errors import Rejection
from tests.sizes import is_fast

_DEFINITION_OF_A_SCENARIO = re.compile(r'workflow with definition:\s*\n *"""yaml\n(.*?)\n *"""', re.DOTALL)
_BLOCK = re.compile(r"```yaml\n(.*?)```", re.DOTALL)


def _is_time(text: object) -> bool:
    if not isinstance(text, str):
        return True
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is_pointer(text: object) -> bool:
    return not isinstance(text, str) or re.fullmatch(r"(/([^~/]|~[01])*)*", text) is not None


def _is_text(_: object) -> bool:
    return True


class Official:
    """The folder of the specification.

    Two formats are held to: without them an expression would be a time and a pointer as well, and so be refused as both. Those
    of URIs stay remarks, beside patterns that say enough.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._schema = parse_document((folder / "schema" / "workflow.yaml").read_bytes(), "application/yaml")

    @cached_property
    def python(self) -> jsonschema.Draft202012Validator:
        """The reference validator: slow."""
        formats = jsonschema.FormatChecker(formats=())
        formats.checks("date-time")(_is_time)
        formats.checks("json-pointer")(_is_pointer)
        assert isinstance(self._schema, dict)
        return jsonschema.Draft202012Validator(self._schema, format_checker=formats)

    @property
    def usual(self) -> jsonschema.Draft202012Validator | jsonschema_rs.Draft202012Validator:
        """The reference validator, and the fast one where little is tried."""
        return self.rust if is_fast() else self.python

    @cached_property
    def rust(self) -> jsonschema_rs.Draft202012Validator:
        """A fast validator, for thousands of documents."""
        formats = {
            "date-time": _is_time,
            "json-pointer": _is_pointer,
            "uri-template": _is_text,
            "uri-reference": _is_text,
        }
        return jsonschema_rs.Draft202012Validator(json.dumps(self._schema), formats=formats, validate_formats=True)

    @cached_property
    def examples(self) -> dict[str, dict[str, object]]:
        return self._definitions({path.name: path.read_text() for path in sorted(self._folder.glob("examples/*.yaml"))})

    @cached_property
    def scenarios(self) -> dict[str, dict[str, object]]:
        """The definitions of the conformance kit."""
        return self._definitions(
            {
                f"{path.stem} {number}": textwrap.dedent(found[1])
                for path in sorted(self._folder.glob("ctk/features/*.feature"))
                for number, found in enumerate(_DEFINITION_OF_A_SCENARIO.finditer(path.read_text()))
            }
        )

    @cached_property
    def fragments(self) -> dict[str, dict[str, object]]:
        """Definitions in the reference and the use cases, as far as they are YAML and whole."""
        pages = [*self._folder.glob("*.md"), *self._folder.glob("use-cases/*/README.md")]
        return self._definitions(
            {
                f"{path.parent.name} {path.stem} {number}": text
                for path in sorted(pages)
                for number, text in enumerate(_BLOCK.findall(path.read_text()))
            },
            lenient=True,
        )

    def _definitions(self, texts: dict[str, str], *, lenient: bool = False) -> dict[str, dict[str, object]]:
        found: dict[str, dict[str, object]] = {}
        for name, text in texts.items():
            try:
                document = parse_document(text.encode(), "application/yaml")
            except Rejection:
                if not lenient:
                    raise
                continue
            if isinstance(document, dict) and {"document", "do"} <= document.keys():
                found[name] = document
        return found
