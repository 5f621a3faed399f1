"""The audit replays reservations against capacities, from the log alone."""

from read_side.demo.log_audit import LogAudit
from read_side.demo.queries import WireEvent
from read_side.demo.scenario import JsonObject


class Log:
    """Writes events one after the other into an audit."""

    def __init__(self) -> None:
        self.audit = LogAudit()

    def write(self, stream: str, event_type: str, data: JsonObject) -> None:
        position, version = self.audit.head + 1, self.audit.versions.get(stream, 0) + 1
        self.audit.see(WireEvent(position=position, type=event_type, subject=stream, streamversion=version, data=data))

    def register(self, node: str, cpu_milli: int, memory_mib: int, gpu_count: int) -> None:
        room: JsonObject = {"cpu_milli": cpu_milli, "memory_mib": memory_mib, "gpu_count": gpu_count}
        self.write(f"node-{node}", "node.registered", room)

    def reserve(
        self, node: str, job: str, cpu_milli: int = 0, memory_mib: int = 0, gpu: tuple[int, int] | None = None
    ) -> None:
        shares: list[JsonObject] = [{"index": gpu[0], "milli": gpu[1]}] if gpu else []
        room: JsonObject = {"job_id": job, "attempt": 1, "cpu_milli": cpu_milli, "memory_mib": memory_mib}
        self.write(f"node-{node}", "node.reserved", {**room, "gpus": shares})  # type: ignore[dict-item]

    def release(self, node: str, job: str) -> None:
        self.write(f"node-{node}", "node.released", {"job_id": job, "attempt": 1})


class TestReservationsWithinCapacity:
    def test_are_no_fault(self) -> None:
        log = Log()
        log.register("n1", 4_000, 1_024, 1)
        log.reserve("n1", "j1", 2_000, 512, (0, 500))
        log.reserve("n1", "j2", 2_000, 512, (0, 500))
        log.release("n1", "j1")
        log.reserve("n1", "j3", 2_000, 512, (0, 500))
        assert log.audit.over_capacity == 0
        assert log.audit.reserved == 2


class TestReservationsOverCapacity:
    def test_show_for_the_processor(self) -> None:
        log = Log()
        log.register("n1", 4_000, 1_024, 0)
        log.reserve("n1", "j1", cpu_milli=4_001)
        assert log.audit.over_capacity == 1

    def test_show_for_the_memory(self) -> None:
        log = Log()
        log.register("n1", 4_000, 1_024, 0)
        log.reserve("n1", "j1", memory_mib=1_000)
        log.reserve("n1", "j2", memory_mib=25)
        assert log.audit.over_capacity == 1

    def test_show_for_a_single_gpu_although_another_is_free(self) -> None:
        log = Log()
        log.register("n1", 4_000, 1_024, 2)
        log.reserve("n1", "j1", gpu=(0, 600))
        log.reserve("n1", "j2", gpu=(0, 600))
        assert log.audit.over_capacity == 1

    def test_show_when_an_attempt_gets_room_twice(self) -> None:
        log = Log()
        log.register("n1", 4_000, 1_024, 0)
        log.reserve("n1", "j1", cpu_milli=1)
        log.reserve("n1", "j1", cpu_milli=1)
        assert log.audit.over_capacity == 1


class TestAReleaseOfNothing:
    def test_shows(self) -> None:
        log = Log()
        log.register("n1", 4_000, 1_024, 0)
        log.release("n1", "j1")
        assert log.audit.unmatched_releases == 1


class TestStreamVersions:
    def test_show_when_one_comes_twice(self) -> None:
        audit = LogAudit()
        for position in (1, 2):
            audit.see(WireEvent(position=position, type="a.b", subject="a-1", streamversion=1, data={}))
        assert (audit.positions, audit.version_gaps) == ({1, 2}, 1)
