"""`run: shell` and `run: script`: a command or a program text as a process of its own, within limits."""

import asyncio

from pydantic import JsonValue

from infra.calls.contract import Arguments, CallContext, CallFailed, list_of, map_of, plain, text_of
from infra.calls.documents import fetch_text
from infra.calls.exchange import without
from infra.calls.guarded_process import GuardedProcess, Program, finish, found_program, guarded, python_for

_RETURNS = {"stdout", "stderr", "code", "all", "none"}
_ARGUMENT_BYTES_MAX = 131_072
_STDERR_SHOWN_CHARACTERS = 500


async def run_process(arguments: Arguments, context: CallContext) -> JsonValue:
    """Run `{"shell": {...}}` or `{"script": {...}}` and give what `return` names, `stdout` by default.

    The environment is what is asked for and a PATH, the working directory is empty and removed afterwards. What the process wrote is read
    as UTF-8. The reference raises no error for an exit code, yet the output of a process that failed is not what was asked for: with
    `stdout` an exit code other than 0 is CallFailed("runtime"), while `stderr`, `code`, `all` and `none` return normally.

    CallFailed: authorization if the operator has not allowed processes; timeout beyond `process_s_max`; runtime beyond another limit;
    configuration for a program that is not there.
    """
    wanted = text_of(arguments, "return", "stdout")
    if wanted not in _RETURNS:
        raise CallFailed("configuration", f"A process cannot return {wanted[:100]!r}.")
    kind = "shell" if "shell" in arguments else "script"
    if kind not in arguments:
        raise CallFailed("configuration", "The process is neither a shell command nor a script.")
    if not context.settings.processes_allowed:
        raise CallFailed("authorization", "The operator has not allowed processes.")
    described = map_of(arguments, kind)
    program = _shell(described) if kind == "shell" else await _script(described, context)
    if sum(len(text.encode()) + 1 for text in program.arguments) > _ARGUMENT_BYTES_MAX:
        raise CallFailed("configuration", f"The command is longer than {_ARGUMENT_BYTES_MAX} bytes.")
    stdin = described.get("stdin")
    process = await _run(program, plain(stdin).encode(), context)
    return _result(process, wanted, (*program.environment.values(), *context.secrets))


def _shell(shell: Arguments) -> Program:
    # With `-c` the first argument is $0.
    command = ["/bin/sh", "-c", text_of(shell, "command"), "sh", *_arguments(shell)]
    return Program(command, _environment(shell))


async def _script(script: Arguments, context: CallContext) -> Program:
    language = text_of(script, "language").lower()
    if language not in {"python", "js", "javascript"}:
        raise CallFailed("configuration", f"Scripts in {language[:100]!r} cannot be run.")
    code = script.get("code")
    if not isinstance(code, str):
        code = await fetch_text(map_of(script, "source"), context)
    if language == "python":
        return Program([python_for(context.settings), "-I", "-c", code, *_arguments(script)], _environment(script))
    node = found_program("node", context.settings)
    if node is None:
        raise CallFailed("configuration", "There is no node on this machine to run JavaScript with.")
    heap_mib = max(16, context.settings.process_memory_bytes_max * 3 // 4 >> 20)
    # `-e` leaves process.argv[1] out, where the name of the script's file stands.
    command = [node, f"--max-old-space-size={heap_mib}", "-e", code, "--", "script", *_arguments(script)]
    # V8 reserves many times the memory that it uses.
    return Program(command, _environment(script), address_space=False)


def _arguments(described: Arguments) -> list[str]:
    return [plain(value) for value in list_of(described, "arguments")]


def _environment(described: Arguments) -> dict[str, str]:
    return {name: plain(value) for name, value in map_of(described, "environment").items()}


async def _run(program: Program, stdin: bytes, context: CallContext) -> GuardedProcess:
    settings = context.settings
    await context.confirm()
    async with guarded(program, settings) as process:
        try:
            async with asyncio.timeout(settings.process_s_max):
                process.write(stdin)
                process.write_end()
                await process.exited.wait()
        except TimeoutError as late:
            detail = f"The process did not end within {settings.process_s_max:g} s."
            raise CallFailed("timeout", detail, in_doubt=True) from late
        await finish(process)
    if process.overflowed:
        raise CallFailed(
            "runtime", f"The process wrote more than {settings.process_output_bytes_max} bytes.", in_doubt=True
        )
    return process


def _result(process: GuardedProcess, wanted: str, secrets: tuple[str, ...]) -> JsonValue:
    code, stdout, stderr = process.code, _text(process.stdout), _text(process.stderr)
    if wanted == "stdout" and code != 0:
        shown = without(secrets, stderr.strip())[-_STDERR_SHOWN_CHARACTERS:]
        raise CallFailed("runtime", f"The process ended with the exit code {code}: {shown}")
    results: dict[str, JsonValue] = {
        "stdout": stdout,
        "stderr": stderr,
        "code": code,
        "all": {"code": code, "stdout": stdout, "stderr": stderr},
        "none": None,
    }
    return results[wanted]


def _text(output: bytearray) -> str:
    return output.decode(errors="replace")
