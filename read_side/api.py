"""The query API: read models as lists, rows and summaries, the log as pages and as a live stream, and how far each model has come."""

from collections.abc import Awaitable, Callable, Iterable

from prometheus_client import CollectorRegistry, Gauge
from pydantic import BaseModel, Field

from infra.adapters.checkpoints import ConsumerStatus
from infra.adapters.web import Application, Route
from infra.adapters.web_docs import Operation, components, document, problems, reference
from infra.adapters.web_metrics import WebMetrics
from infra.adapters.web_operations import documentation, operations
from infra.adapters.web_origin import tenant_of
from infra.adapters.web_parameters import QueryReader
from infra.adapters.web_request import Answer, Request
from projections.catalog import CATALOG
from read_side.agents import AGENTS
from read_side.approvals import APPROVALS
from read_side.events import CLOUD_EVENT, EventLog
from read_side.jobs import JOBS
from read_side.live import Live
from read_side.nodes import NODES
from read_side.queries import QUERY_PARAMETERS, Queries, answer, found
from read_side.run_lifecycle import RunLifecycles, lifecycle_schemas
from read_side.runs import RUN_TASKS, RUNS
from read_side.summaries import SUMMARIES, Summaries
from read_side.tasks import TASKS, TIMELINE
from read_side.workflows import DEFINITIONS, WORKFLOWS

TITLE = "Foldwork queries"
DESCRIPTION = (
    "What the events have led to. Every answer of a read model tells in `Foldwork-Position` how far in the log it has seen. "
    "Lists are in the order of their ids, that of runs is newest first."
)
LISTINGS = (AGENTS, TASKS, TIMELINE, NODES, JOBS, WORKFLOWS, DEFINITIONS, APPROVALS, RUNS, RUN_TASKS)


class ProjectionStatus(BaseModel):
    """How far a read model has come; `lag` is how many events it has not seen yet."""

    name: str
    position: int = Field(ge=0)
    lag: int = Field(ge=0)
    paused: bool
    rebuilding: bool


class ProjectionPage(BaseModel):
    """All read models."""

    data: list[ProjectionStatus]


def create_application(
    queries: Queries,
    live: Live,
    ready: Callable[[], Awaitable[object]],
    registry: CollectorRegistry,
    texts: Iterable[Route] = (),
) -> Application:
    """The query API as an ASGI application; `texts` are the routes of TaskTexts."""
    metrics = WebMetrics(registry)
    listeners = Gauge("foldwork_live_listeners", "Clients that follow the log.", registry=registry)
    listeners.set_function(lambda: live.listeners)
    event_log = EventLog(queries, live)
    routes = [
        *(route for listing in LISTINGS for route in listing.routes(queries)),
        *Summaries(queries).routes(),
        *event_log.routes(),
        *RunLifecycles(queries).routes(),
        *texts,
        _projections(queries),
        *operations(ready, metrics),
    ]

    def describe() -> bytes:
        models: list[type[BaseModel]] = [*(listing.projection.row for listing in LISTINGS), *SUMMARIES, ProjectionPage]
        schemas = {**lifecycle_schemas(), **components(models, "serialization"), "CloudEvent": CLOUD_EVENT}
        return document(TITLE, DESCRIPTION, routes, schemas)

    return Application([*routes, *documentation(TITLE, describe)], metrics, event_log.sockets())


def _projections(queries: Queries) -> Route:
    nothing = QueryReader(())

    async def endpoint(request: Request) -> Answer:
        tenant_of(request)
        nothing.read(request.query)
        await queries.seen([projection.name for projection in CATALOG], request)
        head = await queries.log.head()
        shard = queries.log.shard
        known = {each.consumer: each for each in await queries.models.consumers() if each.shard == shard}
        data = [
            _status(projection.name, await queries.models.position(projection.name), known.get(projection.name), head)
            for projection in CATALOG
        ]
        position = min(each.position for each in data)
        return answer(ProjectionPage(data=data).model_dump_json().encode(), position)

    replies = found("All read models.", reference("ProjectionPage")) | problems(400, 409, 422, 500, 503, 504)
    operation = Operation(
        "list_projections", "projections", "How far each read model has come", replies, QUERY_PARAMETERS
    )
    return Route("GET", "/v1/projections", endpoint, operation)


def _status(name: str, position: int, consumer: ConsumerStatus | None, head: int) -> ProjectionStatus:
    """Its checkpoint may be older than what it has told of itself, and is newer where nobody heard of that.

    There is no consumer yet of a model that no projector has begun.
    """
    position = max(position, 0 if consumer is None else consumer.position)
    return ProjectionStatus(
        name=name,
        position=position,
        lag=max(0, head - position),
        paused=consumer is not None and consumer.paused,
        rebuilding=consumer is not None and consumer.rebuild,
    )
