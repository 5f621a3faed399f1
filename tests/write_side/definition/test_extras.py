"""Calls that need an optional extra are refused where a workflow is registered, if it is not installed."""

import sys
from typing import Any

import pytest

from infra import functions
from tests.write_side.definition.test_supported import refused, undone_by
from write_side.definition.reading import InvalidDefinition
from write_side.workflow import RegisterWorkflow


class TestACallThatNeedsAnExtra:
    GRPC = {
        "call": "grpc",
        "with": {
            "proto": {"endpoint": "https://shop.example/greet.proto"},
            "service": {"name": "shop.Greeter", "host": "shop.example"},
            "method": "Greet",
        },
    }

    def test_is_taken_with_it(self) -> None:
        assert refused(self.GRPC, undone_by(self.GRPC)) == []

    @pytest.mark.parametrize("package", ["grpc", "grpc_tools"])
    def test_is_refused_without_it(self, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, package, None)
        assert refused(self.GRPC, undone_by(self.GRPC)) == ["/do/0/t0/call", "/do/1/t1/metadata/compensate/0/u0/call"]

    def test_says_which_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "grpc", None)
        document = {"dsl": "1.0.3", "namespace": "shop", "name": "w", "version": "1.0.0"}
        with pytest.raises(InvalidDefinition) as invalid:
            RegisterWorkflow(definition={"document": document, "do": [{"greet": self.GRPC}]})
        errors: Any = invalid.value.details["errors"]
        detail = "needs an extra that is not installed here: foldwork[grpc]"
        assert errors == [{"pointer": "/do/0/greet/call", "detail": detail}]

    def test_is_none_of_the_functions_that_others_offer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(functions, "_registered", {"grpc": print})
        monkeypatch.setitem(sys.modules, "grpc", None)
        assert refused(self.GRPC) == ["/do/0/t0/call"]
