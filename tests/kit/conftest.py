"""What the kit and the examples run on: a system, the world outside, and the folder of the specification."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from infra.settings import Settings
from infra.supervisor import Supervisor
from tests.infra.calls.grpc_server import GrpcServer, grpc_server
from tests.infra.calls.websocket_server import WebSocketServer, websocket_server_in_a_thread
from tests.kit.outside import Outside
from tests.kit.routes import GREETER, ROUTES, SECRETS
from tests.kit.routes_of_statements import ROUTES as MORE_ROUTES
from tests.kit.system import SystemWithEnvironment, Workflows, running

NETWORKS = ["127.0.0.0/8"]
PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture(scope="package")
def world() -> Iterator[Outside]:
    with Outside([*ROUTES, *MORE_ROUTES]) as found:
        yield found


@pytest.fixture(scope="package")
def greeter() -> Iterator[GrpcServer]:
    """The service of the example that speaks gRPC."""
    with grpc_server() as found:
        yield found


@pytest.fixture(scope="package")
def secrets_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each tenant's secrets are, a file for each."""
    return tmp_path_factory.mktemp("secrets")


@pytest.fixture(scope="package")
def installed_functions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package as it is installed, which offers a function to workflows."""
    folder = tmp_path_factory.mktemp("functions")
    (folder / "kit_functions.py").write_text("def double(n):\n    return {'twice': 2 * n}\n")
    about = folder / "kit_functions-1.0.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: kit-functions\nVersion: 1.0.0\n")
    (about / "entry_points.txt").write_text("[foldwork.functions]\ndouble:1.0.0 = kit_functions:double\n")
    return folder


@pytest.fixture(scope="package")
def system(
    template: Callable[[str], str],
    world: Outside,
    greeter: GrpcServer,
    secrets_folder: Path,
    installed_functions: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Supervisor]:
    """The processes, with a NATS of their own, whose calls reach the world outside and nothing else."""
    origins = {**world.origins, GREETER: f"grpc://127.0.0.1:{greeter.port}"}
    environment = {
        "FOLDWORK_CALL_ORIGINS": orjson.dumps(origins).decode(),
        "FOLDWORK_CALL_NETWORKS_ALLOWED": orjson.dumps(NETWORKS).decode(),
        "FOLDWORK_CALL_DOCUMENT_S_MAX": "0",
        "FOLDWORK_LIFECYCLE_PUBLISHED": "true",
        "FOLDWORK_PROCESSES_ALLOWED": "true",
        "FOLDWORK_SECRETS_DIR": str(secrets_folder),
        "PYTHONPATH": str(installed_functions),
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
    }
    settings = Settings(
        database_url=template("test_kit"),
        data_dir=tmp_path_factory.mktemp("kit"),
    )
    with running(SystemWithEnvironment(settings, environment)) as found:
        yield found


@pytest.fixture
def outside(world: Outside) -> Outside:
    """The world outside, which has not been asked anything yet."""
    world.forget()
    return world


@pytest.fixture
def talker() -> Iterator[WebSocketServer]:
    """Who speaks WebSocket, as a test has it behave."""
    with websocket_server_in_a_thread() as found:
        yield found


@pytest.fixture
def workflows(system: Supervisor, outside: Outside, secrets_folder: Path) -> Iterator[Workflows]:
    """The APIs of the running system, for this test alone, with the secrets of the examples."""
    found = Workflows(system.url("write_side"), system.url("read_side"))
    own = secrets_folder / found.tenant_id
    own.mkdir()
    for name, secret in SECRETS.items():
        (own / name).write_bytes(orjson.dumps(secret))
    yield found
    found.close()
