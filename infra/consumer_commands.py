"""`foldwork projections` and `foldwork dead-letters`: what an operator asks of consumers."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

import typer

from infra import status as system
from infra.adapters.checkpoints import Operations
from infra.console import Output, confirm, print_rows, run, settings, stdout

CONSUMER_COLUMNS = ("name", "kind", "state", "position", "lag", "dead_letters")
LETTER_COLUMNS = ("consumer", "position", "tenant_id", "stream_id", "type", "attempts", "parked_at", "wanted", "cause")

T = TypeVar("T")

PLAIN: dict[str, Any] = {"no_args_is_help": True, "pretty_exceptions_enable": False, "add_completion": False}
projections = typer.Typer(help="Read models and sagas: where they stand, and how to hold or rebuild them.", **PLAIN)
dead_letters = typer.Typer(help="Events that a consumer could not digest.", **PLAIN)

OutputOption = Annotated[Output, typer.Option("--output", "-o", help="table or json")]
ConsumerName = Annotated[str, typer.Argument(help="Name as `foldwork projections list` shows it.")]
StreamOption = Annotated[str | None, typer.Option("--stream", help="Only this stream; without it, all.")]


@projections.command("list")
def list_projections(output: OutputOption = Output.table) -> None:
    """Show each read model and saga with its position and lag."""
    given = settings()

    async def work() -> list[dict[str, Any]]:
        _, found = await system.consumers(system.database_url(given), given.shard)
        return [consumer.model_dump() for consumer in found]

    print_rows("Consumers", run(work()), CONSUMER_COLUMNS, output)


@projections.command()
def rebuild(name: ConsumerName) -> None:
    """Build a read model anew from the first event."""
    _operate(lambda operations: operations.request_rebuild(name))
    stdout.print(f"{name} will be built anew. Follow it with `foldwork projections list`.")


@projections.command()
def pause(name: ConsumerName) -> None:
    """Hold a read model or saga where it is."""
    _operate(lambda operations: operations.set_paused(name, True))
    stdout.print(f"{name} is paused. Go on with `foldwork projections resume {name}`.")


@projections.command()
def resume(name: ConsumerName) -> None:
    """Let a paused read model or saga go on."""
    _operate(lambda operations: operations.set_paused(name, False))
    stdout.print(f"{name} goes on.")


@dead_letters.command("list")
def list_dead_letters(
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100, output: OutputOption = Output.table
) -> None:
    """Show parked events: whose, where, why."""
    letters = _operate(lambda operations: operations.list_dead_letters(limit))
    print_rows("Dead letters", [asdict(letter) for letter in letters], LETTER_COLUMNS, output)


@dead_letters.command()
def retry(name: ConsumerName, stream: StreamOption = None) -> None:
    """Give a consumer its parked events once more, in order."""
    count = _operate(lambda operations: operations.retry_dead_letters(name, stream))
    stdout.print(f"{count} parked events of {name} are tried again.")


@dead_letters.command()
def discard(
    name: ConsumerName,
    stream: StreamOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Drop parked events for good; the log keeps them, the consumer never sees them."""
    if not yes:
        _operate(lambda operations: operations.require_consumer(name))
        confirm(f"Drop the parked events of {name}{f' in {stream}' if stream else ''} for good?")
    count = _operate(lambda operations: operations.discard_dead_letters(name, stream))
    stdout.print(f"{count} parked events of {name} are dropped.")


def _operate(work: Callable[[Operations], Awaitable[T]]) -> T:
    given = settings()

    async def connected() -> T:
        return await work(Operations(system.database_url(given), given.shard))

    return run(connected())
