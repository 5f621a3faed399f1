"""The cluster's side of the demo: nodes that register and send heartbeats, and users who submit pods as jobs."""

import asyncio
from collections.abc import Sequence
from itertools import count
from time import monotonic

from read_side.demo.client import CommandSender, command
from read_side.demo.pace import Pace, moments
from read_side.demo.progress import Bars
from read_side.demo.scenario import POD_KIND, JsonObject, Node, Pod

PODS_BAR = "cluster pods"
HEARTBEAT_S = 5.0
SUBMISSION_S_MIN = 0.05
PODS_PER_REQUEST_MAX = 200
PRIORITIES = {"Guaranteed": 7, "LS": 6, "Burstable": 4, "BE": 2}
PRIORITY_DEFAULT = 3


async def register_nodes(nodes: Sequence[Node], sender: CommandSender) -> None:
    """Make the nodes known and online."""
    if nodes:
        await sender.send_accepted(*(_registration(node) for node in nodes))
        await sender.send_accepted(*_heartbeats(nodes, 0))


async def keep_alive(nodes: Sequence[Node], sender: CommandSender) -> None:
    """Send heartbeats for ever; one that is late or refused is no reason to stop."""
    for beat in count(1):
        await asyncio.sleep(HEARTBEAT_S)
        await sender.send(*_heartbeats(nodes, beat))


async def submit_pods(users: CommandSender, pods: Sequence[Pod], pace: Pace, bars: Bars) -> None:
    """Submit the pods when their time has come, together what is due by then.

    A pod that was never scheduled is submitted and cancelled at once; nobody starts it even if it should get a place.
    """
    began = monotonic()
    due: list[Pod] = []
    for moment, pod in moments(pods, pace.span_s(len(pods))):
        early_s = began + moment - monotonic()
        if due and (early_s > SUBMISSION_S_MIN or len(due) >= PODS_PER_REQUEST_MAX):
            await _submit(users, due, bars)
            due.clear()
            await asyncio.sleep(max(0.0, began + moment - monotonic()))
        due.append(pod)
    await _submit(users, due, bars)


async def _submit(users: CommandSender, pods: Sequence[Pod], bars: Bars) -> None:
    cancelled = [pod for pod in pods if pod.ending == "cancelled"]
    await asyncio.gather(
        users.send_accepted(*(_submission(pod) for pod in pods if pod.ending != "cancelled")),
        *(users.send_accepted(_submission(pod), _cancellation(pod)) for pod in cancelled),
    )
    bars.advance(PODS_BAR, len(cancelled))


def _submission(pod: Pod) -> JsonObject:
    requirements: JsonObject = {"cpu_milli": pod.cpu_milli, "memory_mib": pod.memory_mib}
    if pod.gpu_count:
        requirements["gpu_count"] = pod.gpu_count
        requirements["gpu_milli"] = pod.gpu_milli
        requirements["gpu_models"] = list(pod.gpu_models)
    return command(
        "SubmitJob",
        f"{pod.id}-submit",
        job_id=pod.id,
        kind=POD_KIND,
        requirements=requirements,
        priority=PRIORITIES.get(pod.quality, PRIORITY_DEFAULT),
        labels={"qos": pod.quality} if pod.quality else {},
    )


def _cancellation(pod: Pod) -> JsonObject:
    return command("CancelJob", f"{pod.id}-cancel", job_id=pod.id, reason="never scheduled in the trace")


def _registration(node: Node) -> JsonObject:
    shape = node.shape
    return command(
        "RegisterNode",
        f"{node.id}-register",
        node_id=node.id,
        name=node.id,
        cpu_milli=shape.cpu_milli,
        memory_mib=shape.memory_mib,
        gpu_count=shape.gpu_count,
        gpu_model=shape.gpu_model,
    )


def _heartbeats(nodes: Sequence[Node], beat: int) -> list[JsonObject]:
    return [command("HeartbeatNode", f"{node.id}-heartbeat-{beat}", node_id=node.id) for node in nodes]
