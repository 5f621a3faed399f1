"""How much time and room one expression may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """All bounds of expressions and schemas.

    `plain_*` are those of an evaluation inside this process: characters of the program, bytes of its input as JSON, steps
    (each about a microsecond) and bytes of all that it makes on the way.
    """

    expression_characters_max: int = 20_000
    seconds_max: float = 1.0
    input_bytes_max: int = 4 * 1024 * 1024
    output_bytes_max: int = 900 * 1024
    child_memory_bytes_max: int = 256 * 1024 * 1024
    child_start_seconds_max: float = 20.0
    child_open_files_max: int = 16
    plain_characters_max: int = 4_000
    plain_depth_max: int = 40
    plain_input_bytes_max: int = 256 * 1024
    plain_steps_max: float = 50_000
    plain_bytes_max: float = 512 * 1024
    schema_bytes_max: int = 256 * 1024
    schema_messages_max: int = 20
    schema_plain_work_max: int = 4_000_000


BOUNDS = Bounds()
