"""A smaller scenario of our own, the same each time, for machines without the recorded input."""

from collections.abc import Iterator
from random import Random

from read_side.demo.scenario import (
    AGENT_KIND_CAPABILITY,
    Agent,
    Graph,
    GraphTask,
    Message,
    Node,
    NodeShape,
    Pod,
    PodEnding,
    Run,
    RunEnding,
    Scenario,
    Step,
    ToolCall,
    parents_first,
)

SEED = 20_240_515
RUNS = 24
GRAPHS = 3
LAYERS = 5
PODS = 600
PODS_PER_HOUR = 30

_PROMPT = "You help travellers with their bookings. Look a booking up before you change it, and ask before you pay."
_TOOLS = ("find_booking", "change_seat", "refund")
_NODES = (
    NodeShape(64_000, 262_144, 4, "A100"),
    NodeShape(64_000, 262_144, 4, "A100"),
    NodeShape(32_000, 131_072, 2, "T4"),
    NodeShape(32_000, 131_072, 0, None),
)
# cpu_milli, memory_mib, gpu_count, gpu_milli, gpu_models
_SIZES: tuple[tuple[int, int, int, int, tuple[str, ...]], ...] = (
    (4_000, 16_384, 1, 500, ()),
    (8_000, 32_768, 1, 1_000, ("A100",)),
    (6_000, 8_192, 1, 250, ("T4", "A100")),
    (16_000, 65_536, 4, 1_000, ("A100",)),
    (12_000, 24_576, 0, 0, ()),
)
_QUALITIES = ("LS", "BE", "Burstable")
_ENDINGS: tuple[PodEnding, ...] = ("completed",) * 7 + ("failed",) * 2 + ("cancelled",)


def invented_scenario() -> Scenario:
    """Conversations with tool calls, layered job graphs, and a small cluster that is too small for all at once."""
    random = Random(SEED)
    agents = tuple(
        Agent(f"booking-agent-{number}", f"Booking agent {number}", AGENT_KIND_CAPABILITY, _PROMPT, _TOOLS)
        for number in range(2)
    )
    return Scenario(
        source="a scenario of our own",
        agents=agents,
        runs=tuple(_run(random, number, agents[number % len(agents)]) for number in range(RUNS)),
        graphs=tuple(_graph(random, number) for number in range(GRAPHS)),
        nodes=invented_nodes(),
        pods=tuple(_pod(random, number) for number in range(PODS)),
    )


def invented_nodes() -> tuple[Node, ...]:
    return tuple(Node(f"node-{number}", shape) for number, shape in enumerate(_NODES))


def _run(random: Random, number: int, agent: Agent) -> Run:
    ending: RunEnding = random.choice(("completed", "completed", "completed", "handed_over", "failed"))
    return Run(
        id=f"booking-{number:03}",
        title=f"Booking {number}",
        agent_id=None if number % 3 == 2 else agent.id,
        input={"booking": number},
        steps=tuple(_steps(random, number)),
        ending=ending,
        reason={"completed": "solved", "handed_over": "needs a human", "failed": "gave up"}[ending],
        reward=float(random.randint(0, 1)) if ending == "completed" else 0.0,
    )


def _steps(random: Random, number: int) -> Iterator[Step]:
    yield Message("system", _PROMPT)
    for turn in range(random.randint(2, 6)):
        yield Message("user", f"Question {turn} about booking {number}.")
        yield Message("assistant", None)
        found = random.random() < 0.9
        reply = f"Booking {number}: seat {turn + 1}A" if found else "Error: no such booking"
        call_id = f"call-{number}-{turn}"
        yield ToolCall(random.choice(_TOOLS), call_id, {"booking": number}, reply, None if found else reply)
        yield Message("assistant", f"Answer {turn} about booking {number}.")


def _graph(random: Random, number: int) -> Graph:
    """Layers of tasks, each with one to three parents in the layer before."""
    tasks: list[GraphTask] = []
    before: list[str] = []
    for layer in range(LAYERS):
        ids = [f"graph-{number}.{layer}.{place}" for place in range(random.randint(2, 6))]
        for job_id in ids:
            parents = tuple(random.sample(before, min(len(before), random.randint(1, 3))))
            tasks.append(GraphTask(job_id, f"layer {layer}", job_id, parents, 1_000, 1_024, random.randint(0, 60_000)))
        before = ids
    return Graph(f"graph-{number}", parents_first(tasks))


def _pod(random: Random, number: int) -> Pod:
    cpu_milli, memory_mib, gpu_count, gpu_milli, gpu_models = random.choice(_SIZES)
    ending = random.choice(_ENDINGS)
    return Pod(
        id=f"pod-{number:04}",
        cpu_milli=cpu_milli,
        memory_mib=memory_mib,
        gpu_count=gpu_count,
        gpu_milli=gpu_milli,
        gpu_models=gpu_models,
        quality=random.choice(_QUALITIES),
        ending=ending,
        created_s=number * 3_600 // PODS_PER_HOUR,
        duration_ms=0 if ending == "cancelled" else random.randint(1, 7_200_000),
    )
