"""Where consumers stand, what they parked, and what operators want of them."""

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from infra.adapters.checkpoints import (
    Board,
    Checkpoint,
    CheckpointMoved,
    Checkpoints,
    ConsumerUnknown,
    Effect,
    Operations,
    forget,
    park,
)
from infra.adapters.event_store import Record
from infra.ids import utc_now

Connection = psycopg.AsyncConnection[Any]


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def operations(database_url: str) -> Operations:
    return Operations(database_url)


BOARD = Checkpoints("box_board", 0, 1, "projection")
SAGA = Checkpoints("empty_boxes", 0, 1, "saga")


def record(position: int, stream_id: str = "box-a", tenant_id: str = "acme") -> Record:
    return Record(position, f"e{position}", tenant_id, stream_id, position, "box.filled", 1, utc_now(), b"{}", b"{}")


class TestACheckpoint:
    async def test_begins_at_zero(self, connection: Connection) -> None:
        assert await BOARD.read(connection) == Checkpoint(0, 1, paused=False, rebuild=False)

    async def test_moves_only_from_where_it_stands(self, connection: Connection) -> None:
        await BOARD.read(connection)
        await BOARD.move(connection, 0, 7)
        with pytest.raises(CheckpointMoved):
            await BOARD.move(connection, 0, 9)
        assert (await BOARD.read(connection)).position == 7

    async def test_takes_all_its_effects_along_or_none(self, connection: Connection, operations: Operations) -> None:
        await BOARD.read(connection)
        await BOARD.move(connection, 0, 7, [park([(record(3), "poison"), (record(4), "behind")])])
        with pytest.raises(CheckpointMoved):
            await BOARD.move(connection, 0, 9, [park([(record(8), "poison")]), forget([3])])
        unfit = Effect("UPDATE dead_letter SET attempts = 1 / %s::int FROM moved", (0,))
        with pytest.raises(psycopg.errors.DivisionByZero):
            await BOARD.move(connection, 7, 9, [park([(record(9), "behind")]), unfit])
        assert (await BOARD.read(connection)).position == 7
        assert [letter.position for letter in await operations.list_dead_letters()] == [3, 4]
        await BOARD.move(connection, 7, 9, [forget([3]), park([(record(9), "behind")])])
        assert (await BOARD.read(connection)).position == 9
        assert [letter.position for letter in await operations.list_dead_letters()] == [4, 9]

    async def test_belongs_to_one_consumer_and_shard(self, connection: Connection) -> None:
        for other in (BOARD, SAGA, Checkpoints("box_board", 1, 1, "projection")):
            await other.read(connection)
        await BOARD.move(connection, 0, 7)
        assert (await SAGA.read(connection)).position == 0
        assert (await Checkpoints("box_board", 1, 1, "projection").read(connection)).position == 0

    async def test_takes_the_new_version_after_a_rebuild(self, connection: Connection, operations: Operations) -> None:
        await BOARD.read(connection)
        await operations.request_rebuild("box_board")
        newer = Checkpoints("box_board", 0, 2, "projection")
        assert await newer.read(connection) == Checkpoint(0, 1, paused=False, rebuild=True)
        await newer.restart(connection, 0, 5)
        assert await newer.read(connection) == Checkpoint(5, 2, paused=False, rebuild=False)
        with pytest.raises(CheckpointMoved):
            await newer.restart(connection, 0, 5)


class TestADeadLetter:
    async def test_blocks_its_stream_for_its_consumer(self, connection: Connection) -> None:
        await BOARD.write(connection, 0, [park([(record(3), "ValueError: poison")])])
        await BOARD.write(connection, 0, [park([(record(4, "box-b", "other"), "behind")])])
        assert await BOARD.blocked(connection) == {("acme", "box-a"), ("other", "box-b")}
        assert await SAGA.blocked(connection) == set()

    async def test_counts_how_often_it_was_tried(self, connection: Connection, operations: Operations) -> None:
        for cause in ("first", "second", "x" * 5_000):
            await BOARD.write(connection, 0, [park([(record(3), cause)])])
        (letter,) = await operations.list_dead_letters()
        assert (letter.consumer, letter.position, letter.stream_id, letter.type) == (
            "box_board",
            3,
            "box-a",
            "box.filled",
        )
        assert (letter.attempts, letter.cause, letter.wanted) == (3, "x" * 2_000, "park")

    async def test_is_listed_and_counted_for_its_shard(self, connection: Connection, operations: Operations) -> None:
        elsewhere = Checkpoints("box_board", 1, 1, "projection")
        for checkpoints, positions in ((BOARD, (3, 4)), (elsewhere, (3, 5, 6)), (SAGA, (7,))):
            for position in positions:
                await checkpoints.write(connection, 0, [park([(record(position), "poison")])])
        assert await operations.count_dead_letters() == {BOARD.consumer: 2, SAGA.consumer: 1}
        assert sorted(letter.position for letter in await operations.list_dead_letters()) == [3, 4, 7]
        assert await Operations(operations._url, 1).count_dead_letters() == {"box_board": 3}

    async def test_comes_up_with_all_of_its_stream_in_order_when_one_is_wanted(
        self, connection: Connection, operations: Operations
    ) -> None:
        for position, stream_id in ((3, "box-a"), (5, "box-b"), (8, "box-a")):
            await BOARD.write(connection, 0, [park([(record(position, stream_id), "poison")])])
        assert await BOARD.wanted(connection) == []
        assert await operations.retry_dead_letters("box_board", "box-a") == 2
        await BOARD.write(connection, 0, [park([(record(9), "behind")])])
        assert await BOARD.wanted(connection) == [
            (3, "acme", "box-a", "retry"),
            (8, "acme", "box-a", "retry"),
            (9, "acme", "box-a", "retry"),
        ]
        await BOARD.keep_parked(connection, "acme", "box-a")
        assert await BOARD.wanted(connection) == []

    async def test_is_gone_when_it_is_forgotten(self, connection: Connection, operations: Operations) -> None:
        for position in (3, 4, 5):
            await BOARD.write(connection, 0, [park([(record(position), "poison")])])
        await BOARD.write(connection, 0, [forget([3, 5])])
        assert [letter.position for letter in await operations.list_dead_letters()] == [4]


class TestAnOperator:
    async def test_sees_every_consumer(self, connection: Connection, operations: Operations) -> None:
        for each in (BOARD, SAGA):
            await each.read(connection)
        await operations.set_paused("empty_boxes", True)
        assert [(c.consumer, c.kind, c.position, c.paused) for c in await operations.list_consumers()] == [
            ("box_board", "projection", 0, False),
            ("empty_boxes", "saga", 0, True),
        ]

    async def test_is_told_when_there_is_no_such_consumer(self, connection: Connection, operations: Operations) -> None:
        await SAGA.read(connection)
        with pytest.raises(ConsumerUnknown):
            await operations.set_paused("nobody", True)
        for name in ("nobody", "empty_boxes"):
            with pytest.raises(ConsumerUnknown):
                await operations.request_rebuild(name)

    async def test_wants_something_of_all_streams_or_of_one(
        self, connection: Connection, operations: Operations
    ) -> None:
        await BOARD.read(connection)
        for position, stream_id in ((3, "box-a"), (5, "box-b")):
            await BOARD.write(connection, 0, [park([(record(position, stream_id), "poison")])])
        assert await operations.discard_dead_letters("box_board", "box-b") == 1
        assert await operations.retry_dead_letters("box_board", "box-c") == 0
        with pytest.raises(ConsumerUnknown):
            await operations.retry_dead_letters("bored_boxes")
        assert [letter.wanted for letter in await operations.list_dead_letters()] == ["park", "discard"]
        assert await operations.retry_dead_letters("box_board") == 2


class TestABoard:
    async def test_knows_what_is_wanted_of_each_consumer(self, connection: Connection, operations: Operations) -> None:
        for consumer in (BOARD, SAGA):
            await consumer.read(connection)
        await BOARD.move(connection, 0, 7, [park([(record(3), "poison")])])
        board = Board(0, fresh_s=0)
        assert await board.look(connection, "box_board") == (Checkpoint(7, 1, paused=False, rebuild=False), False)
        await operations.retry_dead_letters("box_board")
        await operations.set_paused("empty_boxes", True)
        assert await board.look(connection, "box_board") == (Checkpoint(7, 1, paused=False, rebuild=False), True)
        assert await board.look(connection, "empty_boxes") == (Checkpoint(0, 1, paused=True, rebuild=False), False)
        assert await board.look(connection, "nobody") is None
        assert await Board(1, fresh_s=0).look(connection, "box_board") is None

    async def test_asks_once_for_all_while_it_is_fresh(self, connection: Connection) -> None:
        for consumer in (BOARD, SAGA):
            await consumer.read(connection)
        board = Board(0, fresh_s=60)
        assert await board.look(connection, "box_board")
        await connection.close()
        assert await board.look(connection, "empty_boxes")
