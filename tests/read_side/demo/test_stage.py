"""A demo on a system that runs already, if it does."""

import httpx
import pytest

from read_side.demo.invented import invented_scenario
from read_side.demo.play import Target
from read_side.demo.progress import Bars
from read_side.demo.stage import Stage
from read_side.demo.totals import totals_of


@pytest.mark.outside
class TestASystemThatIsNotThere:
    async def test_is_not_waited_for(self) -> None:
        scenario = invented_scenario()
        stage = Stage(scenario, totals_of(scenario), Bars(shown=False))
        with pytest.raises(httpx.RequestError):
            await stage.on_running(Target("http://127.0.0.1:1", "http://127.0.0.1:1", "demo"))
