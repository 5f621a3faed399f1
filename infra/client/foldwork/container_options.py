"""The command line with which a container is created: pure, so that it can be looked at without an engine."""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from foldwork.container_request import ContainerRequest, Port, Volume
from foldwork.job import Job, JobError

PREFIX = "dev.foldwork."
"""Of the labels by which a container of ours is found again."""
AFTER = f"{PREFIX}remove-after-s"
NAME_CHARACTERS_MAX = 100
CPU_MILLI_MIN, MEMORY_MIB_MIN = 10, 6
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True, slots=True)
class ContainerLimits:
    """What containers may do on this node, whatever a job asks for.

    `volumes_allowed` are the folders of which, and of what is below them, containers may be given some; volumes of the engine, whose names
    have no slash, are always allowed. Ports are published on `ports_address` alone. Without `capacity_enforced` a container may use more
    than its job's processor time and memory: for machines whose control groups the engine cannot use. `gpu_argument` is said once for
    each GPU.
    """

    volumes_allowed: Sequence[str] = ()
    ports_address: str = "127.0.0.1"
    processes_max: int = 1_024
    capacity_enforced: bool = True
    gpu_argument: str = "--device=nvidia.com/gpu={index}"
    run_s_max: float = 3_600.0
    pull_s_max: float = 600.0
    stop_s: int = 10
    output_bytes_max: int = 262_144


def name_for(job: Job) -> str:
    """The name of a container whose task has none for it: the same for the same attempt, and of no other."""
    digest = hashlib.sha256(f"{job.tenant}/{job.id}/{job.attempt}".encode()).hexdigest()[:8]
    return f"foldwork-{_UNSAFE.sub('_', job.id)[:NAME_CHARACTERS_MAX]}-{job.attempt}-{digest}"


def labels_of(job: Job, node: str, request: ContainerRequest) -> dict[str, str]:
    found = {"tenant": job.tenant, "node": node, "job": job.id, "attempt": str(job.attempt), "cleanup": request.cleanup}
    labels = {PREFIX + name: value for name, value in found.items()}
    return labels if request.cleanup != "eventually" else {**labels, AFTER: f"{request.after_s:.3f}"}


def variables_of(request: ContainerRequest) -> str:
    """The environment as the file that the engine reads it from."""
    return "".join(f"{name}={value}\n" for name, value in request.environment.items())


def create_arguments(
    job: Job, node: str, request: ContainerRequest, limits: ContainerLimits, more: Sequence[str], variables: str | None
) -> list[str]:
    """Raises JobError for what is not allowed. `variables` is the path of the file with the environment; `more` are the operator's."""
    options = ["create", "--interactive", f"--pull={request.pull}", f"--name={request.name or name_for(job)}"]
    options += [f"--label={name}={value}" for name, value in labels_of(job, node, request).items()]
    options += [f"--pids-limit={limits.processes_max}"] if limits.capacity_enforced else []
    options += _capacity(job) if limits.capacity_enforced else []
    options += [limits.gpu_argument.format(index=gpu.index, milli=gpu.milli) for gpu in job.gpus]
    options += [f"--env-file={variables}"] if variables is not None else []
    options += [_published(port, limits) for port in request.ports]
    options += [_mounted(volume, limits) for volume in request.volumes]
    options += more
    if request.command is None:
        return [*options, "--", request.image, *request.arguments]
    # With `-c` the first argument is $0.
    return [*options, "--entrypoint=/bin/sh", "--", request.image, "-c", request.command, "sh", *request.arguments]


def _capacity(job: Job) -> list[str]:
    """The engines take a memory of 0 for no limit, and so does a job that says that it needs none; they refuse less than the least."""
    memory = [f"--memory={max(job.memory_mib, MEMORY_MIB_MIN)}m"] if job.memory_mib else []
    return [f"--cpus={max(job.cpu_milli, CPU_MILLI_MIN) / 1_000:.3f}", *memory]


def _published(port: Port, limits: ContainerLimits) -> str:
    address = f"[{limits.ports_address}]" if ":" in limits.ports_address else limits.ports_address
    return f"--publish={address}:{port.outside}:{port.inside}/{port.protocol}"


def _mounted(volume: Volume, limits: ContainerLimits) -> str:
    if not volume.source.startswith("/"):
        return f"--volume={volume.source}:{volume.target}:{volume.mode}"
    # What a link points at counts, and is what is mounted.
    source = os.path.realpath(volume.source)
    if not any(_is_below(source, os.path.realpath(folder)) for folder in limits.volumes_allowed):
        raise JobError(f"The operator of this node has not allowed containers to see {volume.source}.")
    if ":" in source:
        raise JobError(f"The folder {volume.source} cannot be given to a container.")
    return f"--volume={source}:{volume.target}:{volume.mode}"


def _is_below(path: str, folder: str) -> bool:
    return os.path.commonpath((path, folder)) == folder
