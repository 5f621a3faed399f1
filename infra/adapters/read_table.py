"""The table of a read model, derived from its row class: definition, reads and writes as SQL. Pure."""

import types
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from pydantic import TypeAdapter

from infra.adapters.checkpoints import Effect
from infra.patterns.projection import Key, Projection, Row

R = TypeVar("R", bound=Row)

_PLAIN: dict[type, str] = {
    str: 'text COLLATE "C"',
    int: "bigint",
    bool: "boolean",
    float: "double precision",
    datetime: "timestamptz",
}


def _column_type(annotation: Any) -> str:
    """The column that holds a field: a plain type where there is one, else jsonb."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _column_type(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        kinds = {_column_type(argument) for argument in get_args(annotation) if argument is not type(None)}
        return kinds.pop() if len(kinds) == 1 else "jsonb"
    if origin is Literal:
        return _PLAIN[str] if all(isinstance(value, str) for value in get_args(annotation)) else "jsonb"
    return _PLAIN.get(annotation, "jsonb") if isinstance(annotation, type) else "jsonb"


@dataclass(frozen=True, slots=True)
class ReadTable(Generic[R]):
    """The SQL of one read model; `name` differs from the projection's while it is being rebuilt beside the old one."""

    projection: Projection[R]
    name: str
    columns: dict[str, str]
    rows: TypeAdapter[list[R]]

    @classmethod
    def of(cls, projection: Projection[R], name: str | None = None) -> "ReadTable[R]":
        fields = projection.row.model_fields
        columns = {field: _column_type(info.annotation) for field, info in fields.items()}
        return cls(projection, name or projection.name, columns, TypeAdapter(list[projection.row]))  # type: ignore[name-defined]  # a class from a value

    @property
    def select_list(self) -> str:
        return ", ".join(f't."{column}"' for column in self.columns)

    def create(self) -> str:
        """The statements that make the table and its indexes where they are missing."""
        optional = self.projection.key
        columns = ", ".join(
            f'"{name}" {kind}{" NOT NULL" if name in optional else ""}' for name, kind in self.columns.items()
        )
        key = ", ".join(f'"{column}"' for column in self.projection.key)
        table = f'CREATE TABLE "{self.name}" ({columns}, PRIMARY KEY ({key})) WITH (fillfactor = 80);'
        indexes = (f'CREATE INDEX ON "{self.name}" ({_quoted(index)});' for index in self.projection.indexes)
        return "\n".join((table, *indexes))

    def load(self) -> str:
        """Rows by key: one array parameter for each key column, in a query of its own, or it would be planned anew for each array."""
        key = self.projection.key
        arrays = ", ".join(f"(SELECT %s::{self._array_type(column)})" for column in key)
        match = " AND ".join(f't."{column}" = k."{column}"' for column in key)
        return f'SELECT {self.select_list} FROM unnest({arrays}) AS k ({_quoted(key)}) JOIN "{self.name}" t ON {match}'

    def save(self, rows: list[R]) -> Effect:
        """Insert or replace rows."""
        key = self.projection.key
        names = _quoted(tuple(self.columns))
        changes = ", ".join(f'"{column}" = EXCLUDED."{column}"' for column in self.columns if column not in key)
        source = f'moved, json_populate_recordset(NULL::"{self.name}", %s::json) AS t'
        sql = (
            f'INSERT INTO "{self.name}" ({names}) SELECT {self.select_list} FROM {source} '
            f"ON CONFLICT ({_quoted(key)}) DO UPDATE SET {changes}"
        )
        return Effect(sql, (self.rows.dump_json(rows).decode(),))

    def delete(self, keys: Sequence[Key]) -> Effect:
        """Delete rows by key."""
        key = self.projection.key
        arrays = ", ".join(f"%s::{self._array_type(column)}" for column in key)
        match = " AND ".join(f't."{column}" = k."{column}"' for column in key)
        sql = f'DELETE FROM "{self.name}" t USING moved, unnest({arrays}) AS k ({_quoted(key)}) WHERE {match}'
        return Effect(sql, [list(column) for column in zip(*keys, strict=True)])

    def _array_type(self, column: str) -> str:
        return f"{self.columns[column].split(' ')[0]}[]"

    def row(self, values: tuple[Any, ...]) -> R:
        """A row from the columns of `select_list`."""
        return self.projection.row.model_validate(dict(zip(self.columns, values, strict=True)))


def _quoted(columns: tuple[str, ...]) -> str:
    return ", ".join(f'"{column}"' for column in columns)
