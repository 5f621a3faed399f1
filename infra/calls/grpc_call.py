"""`call: grpc`: not carried out by this build; every such call fails and says so."""

from pydantic import JsonValue

from infra.calls.contract import Arguments, CallContext, CallFailed


async def grpc_call(arguments: Arguments, context: CallContext) -> JsonValue:
    """Fail with CallFailed("configuration")."""
    raise CallFailed("configuration", "grpc is not installed: pip install 'foldwork[grpc]'")
