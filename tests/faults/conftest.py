"""What the fault tests share: the line that each of them prints."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from infra.embedded.postgres import EmbeddedPostgres

OTHER_DATABASE = "test_other"


@pytest.fixture
def saw(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print what a test has seen, whether or not pytest catches its output."""
    capture = request.config.pluginmanager.get_plugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{request.node.name}: {line}", flush=True)

    return say


@pytest.fixture
def other_database_url(postgres: EmbeddedPostgres, template: Callable[[str], str]) -> Iterator[str]:
    """A second migrated database, for a run to compare with."""
    yield template(OTHER_DATABASE)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {OTHER_DATABASE} WITH (FORCE)".encode())
