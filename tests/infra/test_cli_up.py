"""`foldwork up` as whoever calls it sees it: from which settings it starts, what it says, and when it goes on."""

import pytest

from infra import cli
from infra.settings import Settings
from infra.supervisor import Supervisor


class TestUp:
    def test_welcomes_without_the_passwords_of_the_servers(self, capsys: pytest.CaptureFixture[str]) -> None:
        urls = {"database_url": "postgresql://me:hunter2@db/x", "nats_url": "nats://hunter2@mirror:4222"}
        cli._welcome(Supervisor(Settings.model_validate(urls)))
        shown = capsys.readouterr().out
        assert "hunter2" not in shown
        assert "@db/x" in shown
        assert "@mirror:4222" in shown
