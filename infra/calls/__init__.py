"""Carries out what a document asks of the outside: HTTP, OpenAPI, AsyncAPI, MCP, A2A, gRPC, scripts and shell commands.

The fields and their meaning are those of the Open Workflow Specification, DSL 1.0.3; every argument arrives evaluated. May import
`infra.adapters`, `infra.errors` and `infra.functions`. `call.py` is the way in, `addresses.py` says what may be reached, `contract.py`
holds what all share. What an optional extra installs is imported by the first call that needs it.

To add a function: one file with `async def <function>_call(arguments, context)`, which raises nothing but CallFailed, and its line in
`call.py`. Every byte that leaves goes through `exchange.py`, or to an address that `addresses.py` gave.

To add a protocol of AsyncAPI: a file beside `asyncapi_over_nats.py` with a `Protocol`, its line in `asyncapi_call.py`, and its schemes
in `asyncapi_document.py`.
"""
