"""What is not supported is refused where a workflow is registered, with its place; whatever else the examples have is taken."""

from typing import Any

import pytest

from infra.calls.call import FUNCTIONS
from tests.write_side.definition.official import Official
from write_side.definition.reading import InvalidDefinition, read_definition
from write_side.definition.tasks import CALLS
from write_side.workflow import RegisterWorkflow

SET = {"set": {"a": 1}}
SCRIPT = {"script": {"language": "js", "code": "1"}}


def refused(*tasks: dict[str, Any], **fields: Any) -> list[str]:
    """The places that a registration names, none if it is taken."""
    document = {"dsl": "1.0.3", "namespace": "shop", "name": "w", "version": "1.0.0"}
    definition = {"document": document, "do": [{f"t{place}": task} for place, task in enumerate(tasks)], **fields}
    read_definition(definition)
    try:
        RegisterWorkflow(definition=definition)
    except InvalidDefinition as invalid:
        errors: Any = invalid.details["errors"]
        assert all(error["detail"] for error in errors)
        return [error["pointer"] for error in errors]
    return []


def schema(**fields: Any) -> dict[str, Any]:
    return {**SET, "input": {"schema": fields}}


def undone_by(*tasks: dict[str, Any]) -> dict[str, Any]:
    return {**SET, "metadata": {"compensate": [{f"u{place}": task} for place, task in enumerate(tasks)]}}


def caught(**catch: Any) -> dict[str, Any]:
    return {"try": [{"a": SET}], "catch": catch}


def listening(**to: Any) -> dict[str, Any]:
    return {"listen": {"to": to}}


class TestTheExamples:
    def test_are_all_registered(self, official: Official) -> None:
        found = {}
        for name, definition in (official.examples | official.scenarios).items():
            try:
                RegisterWorkflow(definition=definition)
            except InvalidDefinition as invalid:
                errors: Any = invalid.details["errors"]
                found[name.removesuffix(".yaml")] = [(error["pointer"], error["detail"]) for error in errors]
        assert found == {}


CALLED: dict[str, dict[str, Any]] = {
    "a2a": {"method": "tasks/list", "server": "https://example.com/a2a"},
    "asyncapi": {"document": {"endpoint": "https://example.com/a.json"}, "operation": "o", "message": {"payload": {}}},
    "grpc": {
        "proto": {"endpoint": "https://example.com/a.proto"},
        "service": {"name": "s", "host": "example.com"},
        "method": "m",
    },
    "http": {"method": "get", "endpoint": "https://example.com"},
    "mcp": {"method": "tools/list", "transport": {"http": {"endpoint": "https://example.com/mcp"}}},
    "openapi": {"document": {"endpoint": "https://example.com/o.json"}, "operationId": "o"},
}


class TestAFunctionOfTheLanguage:
    @pytest.mark.parametrize("name", CALLS)
    def test_can_be_called_or_its_call_is_refused(self, name: str) -> None:
        expected = [] if name in FUNCTIONS else ["/do/0/t0/call"]
        assert refused({"call": name, "with": CALLED[name]}) == expected


WITH = {"type": "https://example.com/x", "detail": "${ .x }"}
SUBSCRIBES = {"document": {"endpoint": "x"}, "channel": "c"}
MESSAGES = {"consume": {"amount": 1}}
UNSEEN = {"do": [{"a": {**SET, "if": "$message"}}]}


@pytest.mark.parametrize(
    ("task", "place"),
    [
        (schema(resource={"endpoint": "${ .schema }"}), "/input/schema/resource/endpoint"),
        (schema(resource={"endpoint": {"uri": "https://example.com/{a}"}}), "/input/schema/resource/endpoint/uri"),
        (schema(format="avro", document={}), "/input/schema/format"),
        ({"call": "ftp://example.com/f.yaml"}, "/call"),
        ({"call": "https://example.com/{name}/function.yaml"}, "/call"),
        ({"call": "https://ann:s3cret@example.com/function.yaml"}, "/call"),
        ({"call": "https://example.com/functions.yaml#/f"}, "/call"),
        ({"call": "https://[example.com/function.yaml"}, "/call"),
        ({"call": "https://example.com/" + "f" * 1_000}, "/call"),
        ({"call": "https://example.com/f.yaml", "with": {"key": "${ $secrets.key }"}}, "/with/key"),
        ({"call": "log:1.0.0@default"}, "/call"),
        ({"run": {"script": {"language": "ruby", "code": "1"}}}, "/run/script/language"),
        ({"run": {"await": False, "container": {"image": "x"}}}, "/run/await"),
        (
            {"run": {"return": "all", "workflow": {"namespace": "a", "name": "b", "version": "latest"}}},
            "/run/return",
        ),
        (
            {"run": {"workflow": {"namespace": "${ .a }", "name": "b", "version": "latest"}}},
            "/run/workflow/namespace",
        ),
        (caught(errors={"with": WITH}), "/catch/errors/with/detail"),
        (caught(errors={"with": {"status": 400, "instanc": "/do"}}), "/catch/errors/with/instanc"),
        (caught(errors={"wiht": {"status": 400}}), "/catch/errors/wiht"),
        (
            caught(retry={"backoff": {"exponential": {"factor": 3}}}),
            "/catch/retry/backoff/exponential",
        ),
        (
            listening(any=[{"with": {"type": "a"}}], until={"all": [{"with": {"type": "b"}}, {"with": {"type": "c"}}]}),
            "/listen/to/until/all",
        ),
        ({"fork": {"branches": [{"a": {**SET, "then": "b"}}, {"b": SET}]}}, "/fork/branches/0/a/then"),
        (
            {"call": "asyncapi", "with": {**SUBSCRIBES, "subscription": {**MESSAGES, "foreach": UNSEEN}}},
            "/with/subscription/foreach/do/0/a/if",
        ),
        (undone_by(undone_by(SET)), "/metadata/compensate/0/u0/metadata/compensate"),
        (undone_by({**SET, "then": "nowhere"}), "/metadata/compensate/0/u0/then"),
        (undone_by({"call": "nobody"}), "/metadata/compensate/0/u0/call"),
        (undone_by({**SET, "if": "]"}), "/metadata/compensate/0/u0/if"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
class TestWhatIsNotSupported:
    def test_is_refused_with_its_place(self, task: dict[str, Any], place: str) -> None:
        assert refused(task) == ["/do/0/t0" + place]


class TestTheWhole:
    def test_is_in_jq(self) -> None:
        assert refused(SET, evaluate={"language": "js"}) == ["/evaluate/language"]

    def test_has_no_fields_that_would_be_ignored(self) -> None:
        assert refused(SET, timeouts={"after": "PT1S"}) == ["/timeouts"]

    def test_has_functions_that_say_nothing_of_where_to_go_on(self) -> None:
        assert refused(SET, use={"functions": {"f": {**SET, "then": "end"}}}) == ["/use/functions/f/then"]


class TestACatalog:
    OURS = {"catalogs": {"ours": {"endpoint": "https://example.com/catalog"}}}

    def test_may_lie_elsewhere_and_take_the_place_of_the_runtimes_own(self) -> None:
        default = {"default": self.OURS["catalogs"]["ours"]}
        calls = ({"call": "log:1.0.0@ours"}, {"call": "log:1.0.0@default"})
        assert refused(*calls, use={"catalogs": {**self.OURS["catalogs"], **default}}) == []

    @pytest.mark.parametrize("call", ["../../etc:1.0.0@ours", "log:../1@ours", "log:@ours", "log@ours", "a/b:1@ours"])
    def test_has_functions_with_a_name_and_a_version(self, call: str) -> None:
        assert refused({"call": call}, use=self.OURS)[0] == "/do/0/t0/call"

    def test_has_a_constant_address(self) -> None:
        assert refused(use={"catalogs": {"ours": {"endpoint": {"uri": "${ .a }"}}}}) == [
            "/use/catalogs/ours/endpoint/uri"
        ]

    def test_may_ask_for_a_secret_that_is_declared(self) -> None:
        policy = {"bearer": {"token": "${ $secrets.token }"}}
        use = {"catalogs": {"ours": {"endpoint": {"uri": "https://example.com/", "authentication": policy}}}}
        assert refused(use={**use, "secrets": ["token"]}) == []
        assert refused(use=use) == ["/use/catalogs/ours/endpoint/authentication/bearer/token"]


class TestASecret:
    HTTP = {"method": "get", "endpoint": "https://example.com/", "headers": {"key": "${ $secrets.key }"}}

    def test_can_be_given_to_calls_and_processes(self) -> None:
        taken = {"call": "http", "with": self.HTTP, "input": {"from": "{key: $secrets.key}"}}
        script = {"run": {"script": {**SCRIPT["script"], "environment": {"KEY": '${ $secrets["key"] }'}}}}
        assert refused(taken, script, use={"secrets": ["key"]}) == []

    def test_has_to_be_declared(self) -> None:
        assert refused({"call": "http", "with": self.HTTP}) == ["/do/0/t0/with/headers/key"]

    @pytest.mark.parametrize(
        ("task", "place"),
        [
            ({"set": {"a": "${ $secrets.key }"}}, "/set/a"),
            ({**SET, "output": {"as": "$secrets.key"}}, "/output/as"),
            ({**SET, "input": {"from": "$secrets.key"}}, "/input/from"),
            ({"call": "job", "with": {"payload": "${ $secrets.key }"}}, "/with/payload"),
            ({"call": "f", "with": {"a": "${ $secrets.key }"}}, "/with/a"),
            ({"run": {"container": {"image": "${ $secrets.key }"}}}, "/run/container/image"),
            ({**SET, "if": "$secrets.key == 1"}, "/if"),
        ],
    )
    def test_is_seen_nowhere_else(self, task: dict[str, Any], place: str) -> None:
        assert refused(task, use={"secrets": ["key"], "functions": {"f": SET}}) == ["/do/0/t0" + place]


BAD = ".a |"
BRACED = "${ .a | }"


@pytest.mark.parametrize(
    ("task", "place"),
    [
        ({**SET, "if": BAD}, "/if"),
        ({**SET, "input": {"from": BAD}}, "/input/from"),
        ({**SET, "input": {"from": {"a": BRACED}}}, "/input/from/a"),
        ({**SET, "output": {"as": BRACED}}, "/output/as"),
        ({**SET, "export": {"as": BAD}}, "/export/as"),
        ({"set": {"a": ["x", f"say {BRACED}"]}}, "/set/a/1"),
        ({"switch": [{"c": {"when": BAD, "then": "end"}}]}, "/switch/0/c/when"),
        ({"for": {"in": BAD}, "do": []}, "/for/in"),
        ({"for": {"in": ".a"}, "while": BAD, "do": []}, "/while"),
        (caught(when=BAD), "/catch/when"),
        (caught(exceptWhen=BAD), "/catch/exceptWhen"),
        (caught(retry={"when": BAD}), "/catch/retry/when"),
        (caught(retry={"delay": BRACED}), "/catch/retry/delay"),
        (listening(any=[], until=BAD), "/listen/to/until"),
        (listening(one={"with": {"type": "a"}, "correlate": {"x": {"from": BAD}}}), "/listen/to/one/correlate/x/from"),
        (listening(one={"with": {"data": BRACED}}), "/listen/to/one/with/data"),
        ({"wait": BRACED}, "/wait"),
        ({**SET, "timeout": {"after": BRACED}}, "/timeout/after"),
        ({"raise": {"error": {"type": BRACED, "status": 400}}}, "/raise/error/type"),
        ({"emit": {"event": {"with": {"type": BRACED}}}}, "/emit/event/with/type"),
        ({"call": "job", "with": {"payload": BRACED}}, "/with/payload"),
        ({"do": [{"x": {**SET, "if": BAD}}]}, "/do/0/x/if"),
        ({**SET, "if": "$item"}, "/if"),
        ({**SET, "if": "$authorization"}, "/if"),
        ({**SET, "if": "$output"}, "/if"),
        ({**SET, "if": "$compensated"}, "/if"),
        ({"for": {"in": ".a", "each": "one"}, "do": [{"x": {**SET, "if": "$item"}}]}, "/do/0/x/if"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
class TestAnExpression:
    def test_that_cannot_be_is_refused_with_its_place(self, task: dict[str, Any], place: str) -> None:
        assert refused(task) == ["/do/0/t0" + place]


class TestAVariable:
    def test_is_seen_where_it_is_bound(self) -> None:
        loop = {
            "for": {"each": "one", "in": ".a", "at": "n"},
            "while": "$one != $n",
            "do": [{"x": {"set": "${ $one }"}}],
        }
        rounds = {"do": [{"x": {"set": {"a": "${ $item }"}}}], "output": {"as": "$index"}}
        catch = caught(**{"as": "e", "when": "$e.status", "do": [{"x": {"set": {"a": "${ $e }"}}}]})
        formed = {**SET, "output": {"as": "$output"}, "export": {"as": "$context + {a: $output, b: $task.output}"}}
        heard = {**listening(any=[], until="length > 1"), "foreach": rounds}
        taken = {"call": "asyncapi", "with": {**SUBSCRIBES, "subscription": {**MESSAGES, "foreach": rounds}}}
        assert refused(loop, heard, taken, catch, formed, undone_by({"set": {"a": "${ $compensated.input }"}})) == []

    def test_of_a_loop_is_seen_in_a_function_that_is_called_there(self) -> None:
        loop = {"for": {"each": "one", "in": ".a"}, "do": [{"x": {"call": "f"}}]}
        assert refused(loop, use={"functions": {"f": {"set": {"a": "${ $one }"}}}}) == []

    def test_may_be_the_expressions_own(self) -> None:
        assert refused({**SET, "if": ".a as $x | $x > 1"}) == []


class TestALooseDefinition:
    def test_may_have_texts_that_are_no_expressions(self) -> None:
        assert refused({"set": {"a": "hello ]"}}, evaluate={"mode": "loose"}) == []
