"""The compressed clock: how fast the recorded months go by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from read_side.demo.scenario import Pod

IDLE_S_MAX = 3_600
ATTEMPT_COMPRESSION = 1e-5


@dataclass(frozen=True, slots=True)
class Pace:
    """How much real time the recorded time takes.

    All pods are submitted within `submission_s`, and at least `pods_per_s_min` each second; an attempt takes
    `attempt_s_max` at most. An agent pauses between two steps, a scientist between two pipelines, a user between
    two runs of workflows. After `work_s_max` the work is given up.
    """

    submission_s: float
    pods_per_s_min: float
    attempt_s_max: float
    step_pause_s: float
    pipeline_pause_s: float
    work_s_max: float
    run_pause_s: float = 0.0

    def span_s(self, pods: int) -> float:
        """The time in which so many pods are submitted."""
        return min(self.submission_s, pods / self.pods_per_s_min)

    def attempt_s(self, duration_ms: int) -> float:
        """How long a worker takes for an attempt that was recorded with this duration."""
        return min(self.attempt_s_max, duration_ms / 1_000 * ATTEMPT_COMPRESSION)


SWIFT = Pace(
    submission_s=15.0,
    pods_per_s_min=400.0,
    attempt_s_max=0.03,
    step_pause_s=0.0,
    pipeline_pause_s=0.0,
    work_s_max=210.0,
)
SLOW = Pace(
    submission_s=110.0,
    pods_per_s_min=1.0,
    attempt_s_max=0.2,
    step_pause_s=1.5,
    pipeline_pause_s=9.0,
    work_s_max=230.0,
    run_pause_s=25.0,
)
"""For chaos: so slow that every process is killed several times while there is work."""


def moments(pods: Sequence[Pod], span_s: float) -> Iterator[tuple[float, Pod]]:
    """When to submit each pod, in seconds from the first; hours in which nothing was created are cut to one."""
    elapsed: list[int] = []
    now, before = 0, pods[0].created_s if pods else 0
    for pod in pods:
        now += min(pod.created_s - before, IDLE_S_MAX)
        before = pod.created_s
        elapsed.append(now)
    scale = span_s / now if now else 0.0
    return ((moment * scale, pod) for moment, pod in zip(elapsed, pods, strict=True))
