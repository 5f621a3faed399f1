# Recipes find the project's own tools first; `uv sync` puts them there.
export PATH := justfile_directory() / ".venv/bin" + ":" + env("PATH")
# Compiled modules are kept, whatever the environment says: without them each run spends seconds on compiling.
export PYTHONDONTWRITEBYTECODE := ""

# List the recipes.
default:
    @just --list --unsorted

# A test that fails is run once more, and told with its traceback even if it passes then (DECISIONS 57).
tests := 'pytest -p pytest_rerunfailures --reruns 1 --rerun-show-tracebacks'
servers := tests + ' -m "servers and not faults"'

# The one gate: format, lint, types, tests. What CI runs. Tests of whole systems run beside all others.
check:
    ruff format --check .
    ruff check .
    said=$(mktemp); failed=0; \
    { mypy && {{ tests }} -m "not servers and not faults" && {{ servers }} tests/contract tests/infra; } > "$said" 2>&1 & beside=$!; \
    trap 'kill $beside 2> /dev/null; rm -f "$said"' EXIT; \
    {{ servers }} --ignore=tests/contract --ignore=tests/infra || failed=1; \
    wait $beside || failed=1; \
    cat "$said"; \
    exit $failed

# All tests but those that kill and corrupt; arguments go to pytest.
test *arguments:
    pytest -m "not faults" {{ arguments }}

# Only tests that need no server and no process of their own, in the small size (tests/sizes.py) and in four processes (tests/forked.py). `just check` runs the others too.
test-fast *arguments:
    pytest -p tests.forked -m "not servers and not outside and not faults" --hypothesis-profile=fast -o console_output_style=classic \
        --ignore=tests/journeys --ignore=tests/faults {{ arguments }}

# Kill, restart and corrupt real processes, and count what is lost: nothing.
faults *arguments:
    pytest -m faults {{ arguments }}

# Ten minutes of steady load, after five in which what is kept fills up: no process may grow.
soak:
    FOLDWORK_SOAK_S=600 pytest -m faults tests/faults/test_memory.py

# Put the code into the agreed form.
format:
    ruff format .
    ruff check --fix .

# Start everything in this folder, until Ctrl-C.
up:
    foldwork up

# Drive the whole system with real or invented work, and check its answers.
demo *arguments:
    foldwork demo {{ arguments }}

# Measure the log, the relay, the consumers and workflows beside their baselines (`--only workflows`: DBOS and LangGraph come from PyPI).
bench *arguments:
    python -m tests.bench {{ arguments }}

# One process each; they need FOLDWORK_DATABASE_URL and FOLDWORK_NATS_URL.

# The command API.
write-side:
    python -m write_side

# The query API.
read-side:
    python -m read_side

# The relay from the log to JetStream.
relay:
    python -m infra relay

# The read models.
projections:
    python -m projections

# The sagas and their timers.
sagas:
    python -m sagas
