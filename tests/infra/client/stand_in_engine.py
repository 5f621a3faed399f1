"""A program in the place of podman: it notes what it was asked, and answers what the test has laid down."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

STATE: dict[str, Any] = {"Running": False, "OOMKilled": False, "ExitCode": 0, "StartedAt": "2026-01-01T00:00:00Z"}
MADE = "0123456789abcdef"
"""The id of a container that was made."""
PROGRAM = """#!{python} -IS
import json, os, sys, time
folder = {folder!r}
words = sys.argv[1:]
name = next(word for word in words if not word.startswith("-"))
asked = {{"words": words, "mode": None, "variables": None, "stdin": ""}}
for word in words:
    if word.startswith("--env-file="):
        path = word.partition("=")[2]
        asked["mode"], asked["variables"], asked["path"] = os.stat(path).st_mode & 0o777, open(path).read(), path
if name == "start":
    asked["stdin"] = sys.stdin.read()
with open(folder + "/asked", "a") as file:
    file.write(json.dumps(asked) + "\\n")
answers = json.load(open(folder + "/answers"))
answer = answers.get(name, [])
answer = answer.pop(0) if answer else {{}}
with open(folder + "/left", "w") as file:
    json.dump(answers, file)
os.replace(folder + "/left", folder + "/answers")
sys.stdout.write(answer.get("stdout", ""))
sys.stderr.write(answer.get("stderr", ""))
sys.stdout.flush()
sys.stderr.flush()
time.sleep(answer.get("s", 0))
sys.exit(answer.get("code", 0))
"""


@dataclass(frozen=True, slots=True)
class StandInEngine:
    """`answers` of each command are given one after another: code, stdout, stderr, and how long it takes (`s`)."""

    folder: Path

    @property
    def program(self) -> str:
        return str(self.folder / "engine")

    def write(self, state: dict[str, Any], **answers: list[dict[str, Any]]) -> None:
        (self.folder / "engine").write_text(PROGRAM.format(python=sys.executable, folder=str(self.folder)))
        (self.folder / "engine").chmod(0o755)
        made = [{"stdout": f"{MADE}\n"}] * 2
        inspected = [{"stdout": orjson.dumps(STATE | state).decode()}]
        (self.folder / "answers").write_bytes(orjson.dumps({"create": made, "inspect": inspected, **answers}))

    def asked(self) -> list[dict[str, Any]]:
        path = self.folder / "asked"
        return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    def is_there(self, path: str) -> bool:
        return Path(path).exists()

    def commands(self) -> list[list[str]]:
        """What was asked, without how it should be answered."""
        return [[word for word in each["words"] if not word.startswith("--format=")] for each in self.asked()]

    def names(self) -> list[str]:
        return [words[0] for words in self.commands()]
