"""Messages of a proto document: JSON to bytes and back. Loads protobuf: only for the processes that call gRPC."""

import re
from collections.abc import Sequence

import orjson
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, EncodeError
from google.protobuf.message_factory import GetMessageClass
from pydantic import JsonValue

from infra.calls.contract import Arguments, CallFailed
from infra.calls.proto_child import NAME

_FIELD_THAT_FAILED = re.compile(r"Failed to parse (\w+) field")
_FIELD_UNKNOWN = re.compile(r'has no field named "(\w+)"')
# What protobuf raises for JSON of a wrong shape, beside its own errors.
_UNFIT = (json_format.Error, EncodeError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def pool_of(compiled: bytes) -> DescriptorPool:
    """The descriptors in a serialized FileDescriptorSet; CallFailed("configuration") if they do not fit together."""
    pool = DescriptorPool()
    try:
        for file in FileDescriptorSet.FromString(compiled).file:
            pool.AddSerializedFile(file.SerializeToString())
        pool.FindFileByName(NAME)
    except (DecodeError, LookupError, TypeError, ValueError) as wrong:
        raise CallFailed("configuration", f"The proto document cannot be used: {wrong}") from wrong
    return pool


def find_method(pool: DescriptorPool, service: str, method: str) -> MethodDescriptor:
    """A method of a service that is named in full, with its package; CallFailed("configuration") if it cannot be called."""
    services = {each.full_name: each for each in pool.FindFileByName(NAME).services_by_name.values()}
    if service not in services:
        known = ", ".join(sorted(services)) or "none"
        raise CallFailed("configuration", f"The proto document has no service {service[:200]!r}, but: {known}.")
    methods = services[service].methods_by_name
    if method not in methods:
        known = ", ".join(sorted(methods)) or "none"
        raise CallFailed("configuration", f"The service has no method {method[:200]!r}, but: {known}.")
    found: MethodDescriptor = methods[method]
    if found.client_streaming:
        detail = f"The method {method[:200]!r} takes a stream of messages: a call sends one."
        raise CallFailed("configuration", detail)
    return found


def written(pool: DescriptorPool, method: MethodDescriptor, arguments: Arguments, bytes_max: int) -> bytes:
    """The request that the arguments describe; CallFailed("validation") if they do not fit it."""
    message = GetMessageClass(method.input_type)()
    try:
        json_format.ParseDict(dict(arguments), message, descriptor_pool=pool)
        request = message.SerializeToString()
    except _UNFIT as unfit:
        # protobuf quotes the value, and that may be a secret.
        raise CallFailed("validation", _unfit(method, str(unfit))) from None
    if len(request) > bytes_max:
        raise CallFailed("configuration", f"The request has more than {bytes_max} bytes.", status=413)
    return request


def read(pool: DescriptorPool, method: MethodDescriptor, answers: Sequence[bytes], bytes_max: int) -> JsonValue:
    """The answer as JSON, or a list of them if the method streams; CallFailed("communication") if it cannot be read."""
    kind = GetMessageClass(method.output_type)
    try:
        found: list[JsonValue] = [
            json_format.MessageToDict(kind.FromString(each), descriptor_pool=pool) for each in answers
        ]
    except (DecodeError, *_UNFIT) as unfit:
        detail = f"The answer is not the message {method.output_type.full_name} ({type(unfit).__name__})."
        raise CallFailed("communication", detail) from unfit
    output: JsonValue = found if method.server_streaming else found[0]
    # A byte of a message can be many of its JSON.
    if len(orjson.dumps(output)) > bytes_max:
        raise CallFailed("communication", f"The answer has more than {bytes_max} bytes.")
    return output


def _unfit(method: MethodDescriptor, said: str) -> str:
    """What is wrong with which field, without its value."""
    name, unknown = method.input_type.full_name, _FIELD_UNKNOWN.search(said)
    path = [*_FIELD_THAT_FAILED.findall(said), *([unknown[1]] if unknown else [])]
    if unknown:
        return f"The message {name} has no field {'.'.join(path)!r}."
    at = f": {'.'.join(path)!r} has a value of another kind" if path else ""
    return f"The arguments do not fit the message {name}{at}."
