"""What programs use to work with Foldwork: do its tasks (Worker) or jobs (Node), command and ask (Client), follow events (subscribe)."""

from foldwork.answers import Answer, Refused, Unavailable
from foldwork.client import Client
from foldwork.container_options import ContainerLimits
from foldwork.containers import Containers
from foldwork.event_tail import Event, subscribe
from foldwork.job import Gpu, Job, JobError, JobHandler
from foldwork.node import Node
from foldwork.task import Task
from foldwork.worker import Worker

__all__ = [
    "Answer",
    "Client",
    "ContainerLimits",
    "Containers",
    "Event",
    "Gpu",
    "Job",
    "JobError",
    "JobHandler",
    "Node",
    "Refused",
    "Task",
    "Unavailable",
    "Worker",
    "subscribe",
]
