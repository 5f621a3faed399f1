"""Every setting and every bound, by name; read from the environment (`FOLDWORK_...`)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(ge=0, le=65_535)]
"""0: any free one."""
LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL"],
    BeforeValidator(lambda level: level.upper() if isinstance(level, str) else level),
]


class Settings(BaseSettings):
    """What a process may be told. `database_url` and `nats_url` unset or empty: `foldwork up` starts its own servers."""

    model_config = SettingsConfigDict(env_prefix="FOLDWORK_", env_ignore_empty=True, frozen=True, extra="ignore")

    database_url: str | None = None
    nats_url: str | None = None
    data_dir: Path = Path(".foldwork")
    shard: int = Field(default=0, ge=0, le=1023)
    log_level: LogLevel = "INFO"

    host: str = "127.0.0.1"
    command_port: Port = 8000
    query_port: Port = 8001
    relay_port: Port = 8002
    projections_port: Port = 8003
    sagas_port: Port = 8004

    # the edge
    body_bytes_max: int = 4_194_304
    commands_per_request_max: int = 10_000
    nats_requests_in_flight_max: int = 512
    page_size_default: int = 50
    page_size_max: int = 1_000
    wait_for_position_s_max: float = 5.0
    visibility_poll_s: float = 0.1
    query_connections_max: int = 8
    query_retry_s_max: float = 10.0
    live_buffer_events_max: int = 10_000
    live_buffer_bytes_max: int = 67_108_864
    live_clients_max: int = 500
    fresh_gather_s: float = 0.004
    fresh_events_max: int = 64
    fresh_bytes_max: int = 65_536

    # the command bus and the event store
    append_events_max: int = 500
    append_bytes_max: int = 8_388_608
    append_queue_max: int = 20_000
    conflict_retries_max: int = 20
    cached_streams_max: int = 20_000
    events_per_snapshot: int = Field(default=500, ge=1)
    load_streams_max: int = 500
    # Runs count on that much, and would stand still with less.
    event_bytes_max: int = Field(default=983_040, ge=983_040)
    store_retry_s_max: float = 10.0
    append_s_max: float = 30.0
    read_s_max: float = 30.0
    connect_s_max: float = 5.0
    read_connections_max: int = 4
    read_bytes_max: int = 8_388_608
    partition_events: int = 10_000_000

    # the relay
    relay_batch_events_max: int = 1_000
    relay_batch_bytes_max: int = 8_388_608
    relay_gather_s: float = 0.05
    relay_poll_s_min: float = 0.005
    relay_poll_s_max: float = 0.1
    mirror_age_s_max: int = 604_800
    mirror_bytes_max: int = 10_737_418_240
    mirror_audit_s: float = 30.0

    # the consumers
    consumer_batch_events_max: int = 1_000
    catch_up_batch_events_max: int = 5_000
    catch_up_lag_events: int = 5_000
    catch_up_stretch_events_max: int = 50_000
    consumer_control_poll_s: float = 0.5
    consumer_lease_poll_s: float = 1.0
    projector_rows_max: int = 5_000
    projector_row_bytes_max: int = 8_192
    saga_snapshot_events: int = 20_000
    # Postgres keeps no text of more than 256 MiB in a jsonb column.
    saga_snapshot_bytes_max: int = Field(default=201_326_592, le=268_435_455)
    saga_commands_in_flight_max: int = 500
    timer_poll_s: float = 0.2
    timer_batch_max: int = 500
    timer_ahead_s: float = 5.0

    # what runs call
    activities_in_flight_max: int = 1_000
    call_origins: dict[str, str] = {}
    call_hosts_allowed: tuple[str, ...] = ()
    call_networks_allowed: tuple[str, ...] = ()
    call_s_max: float = 60.0
    call_document_s_max: float = 300.0
    processes_allowed: bool = False
    process_s_max: float = 60.0
    secrets_dir: Path | None = None

    # work that is offered to workers
    work_age_s_max: int = 2_592_000
    work_bytes_max: int = 4_294_967_296
    work_watch_s: float = 1.0

    # what others are told of runs
    lifecycle_published: bool = False
    lifecycle_age_s_max: int = 604_800
    lifecycle_bytes_max: int = 1_073_741_824
    lifecycle_duplicates_s: int = 120

    # liveness of whatever sends heartbeats
    heartbeat_timeout_s: float = 30.0
    heartbeat_check_s: float = 1.0
    heartbeat_flush_s: float = 0.5
