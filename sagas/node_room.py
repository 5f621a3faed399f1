"""The room on one node as placement sees it: what is reserved there, and what was asked for and is not answered yet."""

from typing import Literal

from pydantic import BaseModel

from events.job import Requirements
from events.node import GPU_MILLI_WHOLE, RESERVATIONS_MAX, NodeRegistered, NodeReserved

PERMILLE = 1_000


class Claim(BaseModel):
    """Room for an attempt: `asked` for, `held` by a reservation, or held and `releasing`. `gpus` are (index, milli)."""

    job_id: str
    attempt: int
    status: Literal["asked", "held", "releasing"]
    cpu_milli: int
    memory_mib: int
    gpus: list[tuple[int, int]]


class NodeRoom(BaseModel):
    """A node's capacity and what is free of it, claims that are only asked for taken off too.

    `kinds` are the kinds of jobs that it does, None is every kind.
    `claims` are keyed by job and attempt (`claim_key`). `closed` marks a node that refused what seems to fit: it is
    believed, and not asked again before something is released there.
    """

    cpu_milli: int
    memory_mib: int
    gpu_count: int
    gpu_model: str | None
    kinds: frozenset[str] | None = None
    online: bool = False
    draining: bool = False
    closed: bool = False
    cpu_milli_free: int
    memory_mib_free: int
    gpus_free: list[int]
    gpus_whole: int
    gpu_milli_most: int
    claims: dict[str, Claim] = {}

    @classmethod
    def empty(cls, node: NodeRegistered) -> "NodeRoom":
        return cls(
            cpu_milli=node.cpu_milli,
            memory_mib=node.memory_mib,
            gpu_count=node.gpu_count,
            gpu_model=node.gpu_model,
            kinds=None if node.kinds is None else frozenset(node.kinds),
            cpu_milli_free=node.cpu_milli,
            memory_mib_free=node.memory_mib,
            gpus_free=[GPU_MILLI_WHOLE] * node.gpu_count,
            gpus_whole=node.gpu_count,
            gpu_milli_most=GPU_MILLI_WHOLE if node.gpu_count else 0,
        )

    @property
    def takes_jobs(self) -> bool:
        return self.online and not self.draining and not self.closed

    def fits(self, kind: str | None, need: Requirements) -> bool:
        """Whether there is room now; the same rule as that of the node's decider. `kind` is None if no node names it."""
        if need.cpu_milli > self.cpu_milli_free or need.memory_mib > self.memory_mib_free:
            return False
        if need.gpu_count:
            enough = need.gpu_milli <= self.gpu_milli_most if _is_share(need) else need.gpu_count <= self.gpus_whole
            if not enough or (need.gpu_models and self.gpu_model not in need.gpu_models):
                return False
        if len(self.claims) >= RESERVATIONS_MAX:
            return False
        return self.online and not self.draining and not self.closed and (self.kinds is None or kind in self.kinds)

    def could_hold(self, kind: str, need: Requirements) -> bool:
        """Whether there would be room if nothing were reserved."""
        return (
            self.takes_jobs
            and need.cpu_milli <= self.cpu_milli
            and need.memory_mib <= self.memory_mib
            and need.gpu_count <= self.gpu_count
            and (not need.gpu_count or not need.gpu_models or self.gpu_model in need.gpu_models)
            and (self.kinds is None or kind in self.kinds)
        )

    def waste(self, need: Requirements) -> tuple[int, int, int]:
        """How badly this room suits a job that fits, least is best.

        A share of a GPU goes where it leaves least of one, whole GPUs where fewest stay free, a job without GPUs where
        there are none; after that, wherever it leaves the least processor time.
        """
        cpu_milli_left = self.cpu_milli_free - need.cpu_milli
        if not need.gpu_count:
            return self.gpu_count, self.gpus_whole, cpu_milli_left
        if _is_share(need):
            return min(free for free in self.gpus_free if free >= need.gpu_milli), self.gpus_whole, cpu_milli_left
        return self.gpus_whole, 0, cpu_milli_left

    def shortage_permille(self, need: Requirements) -> int:
        """How much would have to be released before the job fits, in thousandths of the node, summed over its parts."""
        cpu = max(0, need.cpu_milli - self.cpu_milli_free) * PERMILLE // self.cpu_milli
        memory = max(0, need.memory_mib - self.memory_mib_free) * PERMILLE // max(1, self.memory_mib)
        whole = (need.gpu_count - self.gpus_whole) * PERMILLE
        gpu = need.gpu_milli - self.gpu_milli_most if _is_share(need) else whole
        return cpu + memory + max(0, gpu) // max(1, self.gpu_count)

    def ask(self, job_id: str, attempt: int, need: Requirements) -> None:
        """Take the room off before the node has answered, with the GPUs that it will probably pick."""
        self._add(
            Claim(
                job_id=job_id,
                attempt=attempt,
                status="asked",
                cpu_milli=need.cpu_milli,
                memory_mib=need.memory_mib,
                gpus=self._likely_gpus(need),
            )
        )

    def hold(self, reserved: NodeReserved) -> bool:
        """Note what the node did reserve; True if other GPUs than the likely ones, so that the likely ones are free."""
        asked = self.drop(reserved.job_id, reserved.attempt)
        gpus = [(share.index, share.milli) for share in reserved.gpus]
        self._add(
            Claim(
                job_id=reserved.job_id,
                attempt=reserved.attempt,
                status="held",
                cpu_milli=reserved.cpu_milli,
                memory_mib=reserved.memory_mib,
                gpus=gpus,
            )
        )
        return asked is not None and asked.gpus != gpus

    def drop(self, job_id: str, attempt: int) -> Claim | None:
        """Give the room of a claim back."""
        claim = self.claims.pop(claim_key(job_id, attempt), None)
        if claim is not None:
            self._move(claim, 1)
        return claim

    def claim_of(self, job_id: str, attempt: int) -> Claim | None:
        return self.claims.get(claim_key(job_id, attempt))

    def _add(self, claim: Claim) -> None:
        self.claims[claim_key(claim.job_id, claim.attempt)] = claim
        self._move(claim, -1)

    def _likely_gpus(self, need: Requirements) -> list[tuple[int, int]]:
        if _is_share(need):
            fitting = [(milli, index) for index, milli in enumerate(self.gpus_free) if milli >= need.gpu_milli]
            return [(min(fitting)[1], need.gpu_milli)]
        whole = [index for index, milli in enumerate(self.gpus_free) if milli == GPU_MILLI_WHOLE]
        return [(index, GPU_MILLI_WHOLE) for index in whole[: need.gpu_count]]

    def _move(self, claim: Claim, sign: int) -> None:
        self.cpu_milli_free += sign * claim.cpu_milli
        self.memory_mib_free += sign * claim.memory_mib
        if claim.gpus:
            for index, milli in claim.gpus:
                self.gpus_free[index] += sign * milli
            self.gpus_whole = self.gpus_free.count(GPU_MILLI_WHOLE)
            self.gpu_milli_most = max(self.gpus_free)


def claim_key(job_id: str, attempt: int) -> str:
    return f"{job_id}/{attempt}"


def _is_share(need: Requirements) -> bool:
    """Whether a part of one GPU is asked for rather than whole ones."""
    return 0 < need.gpu_milli < GPU_MILLI_WHOLE
