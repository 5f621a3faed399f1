"""The other side of a gRPC call: a real server on this machine that greets, repeats, counts and fails as it is asked to."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClassesForFiles
from grpc_tools import protoc

from infra.calls.call import CallContext
from infra.calls.proto_child import NAME
from infra.calls.proto_document import kept_as

PROTO = """
syntax = "proto3";
package GreeterApi;

import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";

enum Mood { CALM = 0; GLAD = 1; }

message HelloRequest {
  string name = 1;
  string family_name = 2;
  sint32 times = 3;
  int64 large_number = 4;
  Mood mood = 5;
  bytes picture = 6;
  google.protobuf.Timestamp born_at = 7;
  google.protobuf.Struct more = 8;
  repeated HelloRequest friends = 9;
  bool known = 10 [json_name = "is_known"];
  repeated bool flags = 11;
}

message HelloReply { string message = 1; }

service Greeter {
  rpc SayHello (HelloRequest) returns (HelloReply);
  rpc Recognize (HelloRequest) returns (HelloReply);
  rpc Repeat (HelloRequest) returns (HelloRequest);
  rpc Count (HelloRequest) returns (stream HelloReply);
  rpc CountForEver (HelloRequest) returns (stream HelloReply);
  rpc Fail (HelloRequest) returns (HelloReply);
  rpc FailLater (HelloRequest) returns (stream HelloReply);
  rpc Sleep (HelloRequest) returns (HelloReply);
  rpc Grow (HelloRequest) returns (HelloReply);
  rpc Babble (HelloRequest) returns (HelloReply);
  rpc Listen (stream HelloRequest) returns (HelloReply);
  rpc Missing (HelloRequest) returns (HelloReply);
}
"""
SERVICE = "GreeterApi.Greeter"
BABBLE = b"\xff\xff\xff"


@dataclass(frozen=True)
class Heard:
    """A call as it came in."""

    method: str
    metadata: dict[str, Any]
    request: Any


@cache
def _described() -> bytes:
    with TemporaryDirectory() as folder:
        source, made = Path(folder, NAME), Path(folder, "made")
        source.write_text(PROTO)
        types = Path(protoc.__file__).parent / "_proto"
        options = (
            "protoc",
            f"-I{folder}",
            f"-I{types}",
            "--include_imports",
            f"--descriptor_set_out={made}",
            str(source),
        )
        assert protoc.main(options) == 0
        return made.read_bytes()


@cache
def messages() -> dict[str, Any]:
    """The classes of the messages, by their full names."""
    files = FileDescriptorSet.FromString(_described()).file
    pool = DescriptorPool()
    for file in files:
        pool.AddSerializedFile(file.SerializeToString())
    return dict(GetMessageClassesForFiles([file.name for file in files], pool))


def keep(context: CallContext, endpoint: str) -> None:
    """Have the document known from a call before: to compile it takes a process, and ten times longer than all else in a call."""
    from infra.calls.proto_messages import pool_of

    context.resources.protos.put(kept_as({"endpoint": endpoint}), pool_of(_described()), 60)


class GrpcServer:
    """Answers the calls of the service, and keeps what it heard. `released` ends those that sleep or count for ever."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.stopped = 0
        self.released = threading.Event()
        self.port = 0

    def say_hello(self, request: Any, _: Any) -> Any:
        return self._reply(f"Hello, {request.name}!")

    def recognize(self, request: Any, context: Any) -> Any:
        return self._reply(dict(context.invocation_metadata()).get("authorization", "nobody"))

    def repeat(self, request: Any, _: Any) -> Any:
        return request

    def count(self, request: Any, _: Any) -> Iterator[Any]:
        yield from (self._reply(str(number)) for number in range(request.times))

    def count_for_ever(self, request: Any, context: Any) -> Iterator[Any]:
        try:
            while not self.released.is_set() and context.is_active():
                yield self._reply("x" * request.times)
        finally:
            self.stopped += 1

    def fail(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode[request.name], f"It went wrong: {request.family_name}")

    def fail_later(self, request: Any, context: Any) -> Iterator[Any]:
        yield self._reply("1")
        self.fail(request, context)

    def sleep(self, request: Any, _: Any) -> Any:
        self.released.wait(30)
        return self._reply("awake")

    def grow(self, request: Any, _: Any) -> Any:
        return self._reply("x" * request.times)

    def babble(self, request: Any, _: Any) -> Any:
        return BABBLE

    def _reply(self, message: str) -> Any:
        return messages()["GreeterApi.HelloReply"](message=message)


class _Methods(grpc.GenericRpcHandler):
    def __init__(self, server: GrpcServer) -> None:
        self._server = server
        self._answers = {
            "SayHello": (server.say_hello, False),
            "Recognize": (server.recognize, False),
            "Repeat": (server.repeat, False),
            "Count": (server.count, True),
            "CountForEver": (server.count_for_ever, True),
            "Fail": (server.fail, False),
            "FailLater": (server.fail_later, True),
            "Sleep": (server.sleep, False),
            "Grow": (server.grow, False),
            "Babble": (server.babble, False),
        }

    def service(self, details: Any) -> Any:
        service, name = details.method.strip("/").split("/")
        if service != SERVICE or name not in self._answers:
            return None
        answer, streams = self._answers[name]
        metadata = dict(details.invocation_metadata)

        def answered(request: Any, context: Any) -> Any:
            self._server.heard.append(Heard(name, metadata, request))
            return answer(request, context)

        made = grpc.unary_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
        kind = messages()["GreeterApi.HelloRequest"]
        return made(
            answered, kind.FromString, lambda each: each if isinstance(each, bytes) else each.SerializeToString()
        )


@contextmanager
def grpc_server(
    credentials: grpc.ServerCredentials | None = None, address: str = "127.0.0.1", port: int = 0
) -> Iterator[GrpcServer]:
    server = GrpcServer()
    running = grpc.server(
        ThreadPoolExecutor(8),
        handlers=(_Methods(server),),
        options=(("grpc.max_send_message_length", -1),),
        compression=grpc.Compression.Gzip,
    )
    place = f"{address}:{port}"
    server.port = running.add_secure_port(place, credentials) if credentials else running.add_insecure_port(place)
    running.start()
    try:
        yield server
    finally:
        server.released.set()
        running.stop(0).wait()
