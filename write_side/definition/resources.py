"""What lies elsewhere and what data looks like: endpoints, external documents, catalogs, schemas, and how data is formed on its way."""

from typing import Annotated

from pydantic import JsonValue, model_validator

from write_side.definition.authentication import Authentication
from write_side.definition.values import JsonObject, Maybe, Part, UriOrExpression, by_shape, tag


class EndpointConfiguration(Part):
    """An address, and how to prove who calls it."""

    uri: UriOrExpression
    authentication: Maybe[Authentication] = None


Endpoint = Annotated[
    Annotated[EndpointConfiguration, tag("object")] | Annotated[UriOrExpression, tag("text")],
    by_shape("must be a URI, a runtime expression, or an object with a uri"),
]
"""Where something is reached."""


class ExternalResource(Part):
    """A document that lies elsewhere."""

    endpoint: Endpoint
    name: Maybe[str] = None


class Catalog(Part):
    """The root of a catalog of functions."""

    endpoint: Endpoint


class DataSchema(Part):
    """What data has to look like: by a schema that is written here, or by one that lies elsewhere."""

    format: str = "json"
    document: JsonValue = None
    resource: Maybe[ExternalResource] = None

    @model_validator(mode="after")
    def _has_one_source(self) -> "DataSchema":
        if len(self.given("document", "resource")) != 1:
            raise ValueError("must have exactly one of document, resource")
        return self


Transformation = Annotated[
    Annotated[JsonObject, tag("object")] | Annotated[str, tag("text")],
    by_shape("must be a runtime expression, or an object that holds some"),
]
"""A runtime expression, or an object that holds some."""


class Input(Part):
    """What the input has to look like, and how it is formed."""

    schema_: Maybe[DataSchema] = None
    from_: Maybe[Transformation] = None


class Output(Part):
    """How the output is formed, and what it has to look like."""

    schema_: Maybe[DataSchema] = None
    as_: Maybe[Transformation] = None


class Export(Part):
    """How a task's output changes the context, and what that has to look like."""

    schema_: Maybe[DataSchema] = None
    as_: Maybe[Transformation] = None
