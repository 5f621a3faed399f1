"""A registry of container images on this machine: it holds images made of one static program, and tells who asked for them.

Only what a pull needs is spoken of the OCI distribution specification: manifests and blobs, read.
"""

import gzip
import hashlib
import io
import platform
import tarfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson

HOST = "127.0.0.1"
OCI = "application/vnd.oci.image."
MANIFEST = OCI + "manifest.v1+json"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Image:
    """An image that has busybox as its only program, under its usual names, and does this by default."""

    command: Sequence[str]
    entrypoint: Sequence[str] = ()


def _layer(busybox: Path, names: Sequence[str]) -> bytes:
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w") as archive:
        program = tarfile.TarInfo("bin/busybox")
        program.size, program.mode = busybox.stat().st_size, 0o755
        with busybox.open("rb") as file:
            archive.addfile(program, file)
        for name in names:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    return found.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class ImageRegistry:
    """Use it as a context. `asked` are the names of the manifests that were asked for, in order."""

    def __init__(self, busybox: Path, images: Mapping[str, Image]) -> None:
        self.asked: list[str] = []
        self._blobs: dict[str, bytes] = {}
        self._manifests: dict[str, bytes] = {}
        layer = _layer(busybox, ("sh", "cat", "echo", "sleep", "test", "env"))
        for name, image in images.items():
            self._manifests[name] = self._add(image, layer)
        self._server = ThreadingHTTPServer((HOST, 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        return f"{HOST}:{self._server.server_port}"

    def __enter__(self) -> "ImageRegistry":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _add(self, image: Image, layer: bytes) -> bytes:
        """Keep an image's parts; gives its manifest."""
        run = {"Cmd": [*image.command], "Entrypoint": [*image.entrypoint] or None, "Env": ["PATH=/bin"]}
        configuration = {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
        parts = {
            OCI + "config.v1+json": orjson.dumps(configuration),
            OCI + "layer.v1.tar+gzip": gzip.compress(layer, compresslevel=1, mtime=0),
        }
        described: list[dict[str, Any]] = []
        for kind, content in parts.items():
            digest = _digest(content)
            self._blobs[digest] = content
            described.append({"mediaType": kind, "digest": digest, "size": len(content)})
        return orjson.dumps(
            {"schemaVersion": 2, "mediaType": MANIFEST, "config": described[0], "layers": described[1:]}
        )

    def _find(self, path: str) -> tuple[str, bytes] | None:
        """The type and the content at a path, for example `/v2/library/alpine/manifests/latest`."""
        match path.strip("/").split("/"):
            case ["v2"]:
                return "application/json", b"{}"
            case ["v2", *_, name, "manifests", reference] if name in self._manifests:
                found = self._manifests[name]
                self.asked.append(name)
                return (MANIFEST, found) if reference in ("latest", _digest(found)) else None
            case ["v2", *_, "blobs", digest] if digest in self._blobs:
                return "application/octet-stream", self._blobs[digest]
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        find = self._find

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(with_body=True)

            def do_HEAD(self) -> None:
                self._answer(with_body=False)

            def _answer(self, with_body: bool) -> None:
                kind, content = found = find(self.path) or ("", b"")
                self.send_response(200 if found[0] else 404)
                self.send_header("Content-Length", str(len(content)))
                if kind:
                    self.send_header("Content-Type", kind)
                    self.send_header("Docker-Content-Digest", _digest(content))
                self.end_headers()
                if with_body:
                    self.wfile.write(content)

            def log_message(self, format: str, *arguments: object) -> None:
                """Nobody reads it."""

        return Handler
