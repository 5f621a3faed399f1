"""HTTPS to an address that was checked: the certificate has to be that of the name."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.calls import addresses
from infra.calls.call import CallContext, CallFailed, CallSettings, carry_out, open_resources
from tests.infra.calls.certificates import certify

pytestmark = pytest.mark.outside

NAME = "service.example.com"


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate of NAME's own, which this machine trusts for the length of the test."""
    file = certify(NAME, tmp_path / "certificate.pem")
    monkeypatch.setattr(addresses, "certificates", lambda: ssl.create_default_context(cafile=str(file)))
    return file


@pytest.fixture
async def port(certificate: Path) -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n1")
        await writer.drain()
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def resolve(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


@pytest.mark.parametrize(("name", "trusted"), [(NAME, True), ("other.example.com", False), ("127.0.0.1", False)])
async def test_the_certificate_is_checked_against_the_name_and_not_the_address(
    port: int, name: str, trusted: bool
) -> None:
    async with open_resources(CallSettings(networks_allowed=("127.0.0.0/8",)), resolve) as resources:
        arguments = {"method": "get", "endpoint": f"https://{name}:{port}/"}
        if trusted:
            assert await carry_out("http", arguments, CallContext("k", resources)) == 1
        else:
            with pytest.raises(CallFailed, match="communication 500"):
                await carry_out("http", arguments, CallContext("k", resources))
