"""How many appends go in a call: two parts that take turns, where that keeps both the database and the deciding busy."""

from infra.adapters.append_turns import Turns

NO_TIME_S = 0.00003


def after_calls(*took_s: float) -> Turns:
    turns = Turns()
    for each in took_s:
        turns.took(each)
    return turns


class TestTheFirstCall:
    def test_takes_all(self) -> None:
        assert Turns().share(16, 10.0) == 16


class TestAfterAPause:
    def test_half_goes_where_deciding_takes_longer_than_the_shortest_call(self) -> None:
        assert after_calls(0.0003, 0.0007).share(16, 0.0006) == 8

    def test_of_an_odd_number_the_larger_half_goes(self) -> None:
        assert after_calls(0.0003, 0.0007).share(5, 0.0006) == 3

    def test_one_goes(self) -> None:
        assert after_calls(0.0003).share(1, 0.0004) == 1

    def test_all_go_where_a_call_more_would_cost_more_than_the_pause(self) -> None:
        """As on a slow disk."""
        assert after_calls(0.0020, 0.0025).share(16, 0.0006) == 16

    def test_all_go_where_there_was_little_to_do(self) -> None:
        assert after_calls(0.0003, 0.0007).share(16, 0.5) == 16

    def test_a_database_that_became_slower_is_believed_in_time(self) -> None:
        assert after_calls(0.0003, *[0.0025] * 10).share(16, 0.0006) == 8
        assert after_calls(0.0003, *[0.0025] * 100).share(16, 0.0006) == 16


class TestWithoutAPause:
    def test_all_go_where_nothing_was_divided(self) -> None:
        turns = after_calls(0.0003)
        assert [turns.share(1, NO_TIME_S), turns.share(99, NO_TIME_S)] == [1, 99]

    def test_halves_stay_halves(self) -> None:
        assert shares_of(16, first=8) == [8] * 6

    def test_uneven_parts_become_even(self) -> None:
        assert shares_of(16, first=2)[-2:] == [8, 8]
        assert shares_of(16, first=14)[-2:] == [8, 8]

    def test_all_go_after_there_was_little_to_do(self) -> None:
        turns = after_calls(0.0003, 0.0007)
        turns.share(16, 0.0006)
        turns.share(1, 0.5)
        assert turns.share(99, NO_TIME_S) == 99

    def test_a_crowd_that_joins_goes_in_two(self) -> None:
        turns = after_calls(0.0003, 0.0007)
        turns.share(2, 0.0006)
        left, calls = 1_000, 0
        while left:
            left -= turns.share(left, NO_TIME_S)
            calls += 1
        assert calls == 2


def shares_of(in_flight: int, first: int) -> list[int]:
    """Six calls of those in flight, who come back when the next call begins; `first` of them had been divided from the others."""
    turns = after_calls(0.0003, 0.0007)
    turns.share(2 * first, 0.0006)
    waiting, in_call, shares = in_flight - first, first, []
    for _ in range(6):
        share = turns.share(waiting, NO_TIME_S)
        waiting, in_call = waiting - share + in_call, share
        shares.append(share)
    return shares
