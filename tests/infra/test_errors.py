"""The two ways to fail."""

import pytest

from infra.errors import (
    CommandIdReused,
    Fault,
    Invalid,
    NotFound,
    Overloaded,
    Rejection,
    StoreUnavailable,
    VersionConflict,
)


class ThingAlreadyMade(Rejection):
    """This thing was made before.

    More for those who read the code.
    """


class TestARejection:
    def test_says_the_first_line_of_its_docstring(self) -> None:
        assert str(ThingAlreadyMade()) == "This thing was made before."

    def test_may_say_something_else_and_carry_details(self) -> None:
        rejection = ThingAlreadyMade("made yesterday", thing_id="7")
        assert (str(rejection), rejection.details) == ("made yesterday", {"thing_id": "7"})

    def test_has_a_stable_code(self) -> None:
        assert ThingAlreadyMade().code == "thing-already-made"
        assert CommandIdReused().code == "command-id-reused"

    @pytest.mark.parametrize(
        ("kind", "status"),
        [(Rejection, 409), (NotFound, 404), (Invalid, 422), (VersionConflict, 409), (CommandIdReused, 422)],
    )
    def test_is_answered_with_a_status_of_the_client(self, kind: type[Rejection], status: int) -> None:
        assert kind.status == status


class TestAFault:
    @pytest.mark.parametrize("kind", [Fault, StoreUnavailable, Overloaded])
    def test_is_answered_with_a_status_of_the_server(self, kind: type[Fault]) -> None:
        assert kind.status == 503

    def test_has_a_stable_code(self) -> None:
        assert StoreUnavailable("away").code == "store-unavailable"

    def test_is_no_rejection(self) -> None:
        assert not issubclass(Fault, Rejection)
