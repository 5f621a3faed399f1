"""Which GPUs of a node an attempt at a job gets."""

from collections.abc import Sequence

from events.job import Requirements
from events.node import GPU_MILLI_WHOLE, GpuShare


def pick_gpus(need: Requirements, free: Sequence[int]) -> tuple[GpuShare, ...] | None:
    """The GPUs to use: whole ones are wholly free, a fraction goes where it leaves least; None if there is no room."""
    if need.gpu_milli < GPU_MILLI_WHOLE and need.gpu_count:
        fitting = [(milli, index) for index, milli in enumerate(free) if milli >= need.gpu_milli]
        return (GpuShare(index=min(fitting)[1], milli=need.gpu_milli),) if fitting else None
    whole = [index for index, milli in enumerate(free) if milli == GPU_MILLI_WHOLE]
    if len(whole) < need.gpu_count:
        return None
    return tuple(GpuShare(index=index, milli=GPU_MILLI_WHOLE) for index in whole[: need.gpu_count])
