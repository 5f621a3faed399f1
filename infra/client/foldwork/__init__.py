"""What programs use to work with Foldwork: do its tasks (Worker), send commands and ask (Client), follow events (subscribe)."""

from foldwork.answers import Answer, Refused, Unavailable
from foldwork.client import Client
from foldwork.event_tail import Event, subscribe
from foldwork.task import Task
from foldwork.worker import Worker

__all__ = ["Answer", "Client", "Event", "Refused", "Task", "Unavailable", "Worker", "subscribe"]
