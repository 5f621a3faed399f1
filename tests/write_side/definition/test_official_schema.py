"""Our verdict beside that of the official schema: on each of the specification's documents, and on thousands that are slightly wrong."""

import json
import random
from collections import Counter

import pytest

from tests.sizes import examples
from tests.write_side.definition.mutations import mutated, names_in
from tests.write_side.definition.official import Official
from tests.write_side.definition.small_definitions import TEXTS, small_definition
from write_side.definition.reading import InvalidDefinition, read_definition
from write_side.definition.references import check_references

MUTATIONS = examples(600)
MUTATIONS_SLOW = examples(12)

pytestmark = pytest.mark.data


def is_valid(document: object) -> bool:
    try:
        read_definition(document)
    except InvalidDefinition:
        return False
    return True


class TestTheDocumentsOfTheSpecification:
    def test_are_all_there(self, official: Official) -> None:
        assert (len(official.examples), len(official.scenarios)) == (68, 21)
        assert len(official.fragments) > 40

    @pytest.mark.parametrize("which", ["examples", "scenarios", "fragments"])
    def test_are_valid_and_lead_somewhere(self, official: Official, which: str) -> None:
        for name, document in getattr(official, which).items():
            # The slow validator judges the kit only; on the rest the fast one agreed with it when this was written.
            assert (official.usual if which == "scenarios" else official.rust).is_valid(document), name
            assert check_references(read_definition(document)) == [], name


class TestOurDefinitions:
    @pytest.mark.parametrize("name", TEXTS)
    def test_are_valid_by_the_schema(self, official: Official, name: str) -> None:
        assert official.usual.is_valid(small_definition(name))


class TestADefinitionThatWasChanged:
    def test_is_judged_as_the_schema_judges_it(self, official: Official) -> None:
        ours = [small_definition(name) for name in TEXTS]
        theirs = [*official.examples.values(), *official.scenarios.values()]
        names = names_in([*ours, *theirs])
        draw, verdicts = random.Random(103), Counter[bool]()
        for number in range(MUTATIONS):
            document = mutated(draw, draw.choice(draw.choice((ours, theirs))), [*ours, *theirs], names)
            verdict = official.rust.is_valid(document)
            verdicts[verdict] += 1
            assert is_valid(document) == verdict, json.dumps(document)
            if number < MUTATIONS_SLOW:
                assert official.python.is_valid(document) == verdict, json.dumps(document)
        assert min(verdicts[True], verdicts[False]) > MUTATIONS // 10
