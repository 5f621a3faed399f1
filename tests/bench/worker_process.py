"""A worker as a user writes one, in a process of its own: `python worker_process.py <NATS url> <agent> <capability> <tasks at once>`."""

import sys

from foldwork import Task, Worker


def main() -> None:
    url, agent, capability, at_once = sys.argv[1:]
    worker = Worker(url, agent=agent, capabilities=[capability], concurrency=int(at_once))

    @worker.task
    async def handle(task: Task) -> dict[str, int]:
        return {"number": task.input["number"] + 1}

    worker.run()


if __name__ == "__main__":
    main()
