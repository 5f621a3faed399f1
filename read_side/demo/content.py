"""Content that agents write, illustrate and refine until one of them is content with it.

The flow is that of a use case of the Open Workflow Specification: "Multi-Agent Collaboration for AI Content Generation".
"""

import re
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from read_side.demo.checks import Check, same, values_in_words
from read_side.demo.desks import Desk
from read_side.demo.scenario import Agent, JsonObject
from read_side.demo.workflow_evidence import WorkflowsSeen

CONTENT_FILE = "illustrate-article.yaml"
CONTENT = "content.illustrate-article"
ARTICLE = "article-on-lighthouses"
ARTICLES: Mapping[str, JsonObject] = {ARTICLE: {"prompt": "Why do lighthouses blink?"}}
"""The input of each run, by its id."""

DRAFTS_NEEDED = 3
REFINEMENTS = DRAFTS_NEEDED - 1
AGENT_TASKS = 2 + DRAFTS_NEEDED + 2 * REFINEMENTS
"""What the agents are asked: to write and to draw, to evaluate each draft, and to refine both its parts."""

TEXT, IMAGE = "To be told apart (draft 1)", "light.svg (draft 1)"
DELIVERED: JsonValue = {
    "text": TEXT.replace("draft 1", f"draft {DRAFTS_NEEDED}"),
    "image": IMAGE.replace("draft 1", f"draft {DRAFTS_NEEDED}"),
}
_DRAFT = re.compile(r"(?<=draft )[0-9]+")


def _write(asked: JsonObject) -> JsonObject:
    return {"text": TEXT}


def _draw(asked: JsonObject) -> JsonObject:
    return {"image": IMAGE}


def _evaluate(asked: JsonObject) -> JsonObject:
    """Content with the last draft only."""
    drafts = [int(number) for part in asked.values() for number in _DRAFT.findall(str(part))]
    if min(drafts) >= DRAFTS_NEEDED:
        return {"needsRefinement": False}
    return {"needsRefinement": True, "textFeedback": "Say it shorter.", "imageFeedback": "Make the sea darker."}


def _refine(asked: JsonObject) -> JsonObject:
    """The next draft of what is given beside the feedback."""
    return {
        name: _DRAFT.sub(lambda number: str(int(number[0]) + 1), str(part))
        for name, part in asked.items()
        if name != "feedback"
    }


CONTENT_AGENTS = tuple(
    Agent(f"{role}-agent", f"{role.capitalize()} agent", capability, prompt, ())
    for role, capability, prompt in (
        ("text", "write-text", "You write short texts."),
        ("image", "draw-image", "You draw what a text says."),
        ("quality", "evaluate-content", "You say what should be better."),
        ("refinement", "refine-content", "You make it better."),
    )
)
CONTENT_DESKS: Mapping[str, Desk] = {
    "text-agent": _write,
    "image-agent": _draw,
    "quality-agent": _evaluate,
    "refinement-agent": _refine,
}


def check_content(seen: WorkflowsSeen) -> Iterator[Check]:
    article = seen.runs[ARTICLE]
    yield same("article", "completed", article.run.status)
    refined = [task for task in article.tasks if task.name == "refineContent" and task.status == "completed"]
    yield same("times it was refined", REFINEMENTS, len(refined))
    yield same("its text and image", values_in_words(DELIVERED), values_in_words(article.run.output))
    delivered = [event.data["event"] for event in article.events_of("run.event_emitted")]
    data = [event.get("data") for event in delivered if isinstance(event, dict)]
    yield same("events that deliver it", 1, data.count(DELIVERED))
