"""Progress bars on stderr, for people only."""

from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from infra.console import stderr


class Bars:
    """One bar for each kind of work. Nothing is printed when stderr is not a terminal or `shown` is False."""

    def __init__(self, shown: bool) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=stderr, disable=not (shown and stderr.is_terminal))
        self._bars: dict[str, TaskID] = {}

    def open(self, name: str, total: int = 1) -> None:
        """Show a bar, if there is anything to do."""
        if total:
            self._bars[name] = self._progress.add_task(name, total=total)

    def advance(self, name: str, count: int = 1) -> None:
        if name in self._bars:
            self._progress.advance(self._bars[name], count)

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
