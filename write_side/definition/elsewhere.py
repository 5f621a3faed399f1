"""What a definition refers to and does not hold: functions by their address or in a catalog, and schemas; where they lie, who asks."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from pydantic import JsonValue

from write_side.definition.document import Definition
from write_side.definition.resources import Endpoint, EndpointConfiguration
from write_side.definition.tasks import CallFunction
from write_side.definition.values import JsonObject
from write_side.definition.walk import tasks

ADDRESS_CHARACTERS_MAX = 1_000
GITHUB, GITHUB_RAW, GITLAB = "github.com", "raw.githubusercontent.com", "gitlab.com"
DEFAULT_BRANCH = "HEAD"
FUNCTION_FILE = "function.yaml"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NAME_AND_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*:[A-Za-z0-9_][A-Za-z0-9_.+-]*")


@dataclass(frozen=True, slots=True)
class Resource:
    """A document that lies elsewhere, and the policy, in its author's words, by which it is asked for."""

    address: str
    authentication: JsonValue = None


def is_elsewhere(call: str, catalogs: Collection[str]) -> bool:
    """Whether a call means a function by its address, or one of a catalog that the definition declares."""
    named, _, catalog = call.rpartition("@")
    return "://" in call or (named != "" and catalog in catalogs)


def calls_elsewhere(definition: Definition) -> Iterator[str]:
    """What the tasks of a definition call that is a function elsewhere."""
    for _, _, task in tasks(definition):
        if isinstance(task, CallFunction) and is_elsewhere(task.call, definition.use.catalogs):
            yield task.call


def function_elsewhere(call: str, catalogs: JsonValue) -> Resource | None:
    """The document of a function by its address (`https://...`) or of a catalog (`name:version@catalog`), None for any other call.

    `catalogs` are those of the definition, in its words.
    """
    if not isinstance(catalogs, dict) or not is_elsewhere(call, catalogs):
        return None
    if "://" in call:
        return Resource(raw_address(call))
    named, _, catalog = call.rpartition("@")
    root = resource_of(catalogs[catalog])
    name, _, version = named.partition(":")
    return Resource(_in_catalog(root.address, name, version), root.authentication)


def schemas_elsewhere(words: JsonObject) -> tuple[Resource, ...]:
    """The schemas that a task, or the workflow, is checked by and that lie elsewhere, of its rounds too; each address once."""
    found: dict[str, Resource] = {}
    for holder in (words, words.get("foreach")):
        for part in ("input", "output", "export"):
            for resource in _schema_of(holder.get(part) if isinstance(holder, dict) else None):
                found.setdefault(resource.address, resource)
    return tuple(found.values())


def _schema_of(part: JsonValue) -> Iterator[Resource]:
    schema = part.get("schema") if isinstance(part, dict) else None
    if isinstance(schema, dict) and "resource" in schema:
        yield resource_of(schema["resource"])


def resource_of(words: JsonValue) -> Resource:
    """What lies at the endpoint of an external resource, or of a catalog."""
    endpoint = words["endpoint"] if isinstance(words, dict) else None
    if isinstance(endpoint, dict):
        return Resource(str(endpoint["uri"]), endpoint.get("authentication"))
    return Resource(str(endpoint))


def uri_of(endpoint: Endpoint) -> str:
    return endpoint.uri if isinstance(endpoint, EndpointConfiguration) else endpoint


def is_name_and_version(text: str) -> bool:
    """Whether it names a function of a catalog, like `log:1.0.0`, and leads out of no folder."""
    return _NAME_AND_VERSION.fullmatch(text) is not None


def unfit(address: str) -> str | None:
    """Why a document cannot be fetched from an address; None if it can. What is fetched is never for a run's data to say."""
    if len(address) > ADDRESS_CHARACTERS_MAX:
        return f"must have at most {ADDRESS_CHARACTERS_MAX} characters"
    if "{" in address:
        return "must be a constant address, without expressions and variables"
    try:
        parts = urlsplit(address)
        named, has_credentials = parts.hostname, "@" in parts.netloc
    except ValueError:
        return "must be an address that there can be"
    if parts.scheme not in ("http", "https") or not named:
        return "must be an address like https://example.com/document"
    if has_credentials:
        return "must hold no name and no password: say them in authentication"
    return "must mean the whole document, without a fragment" if parts.fragment else None


def raw_address(address: str) -> str:
    """Where the document itself lies whose page in a GitHub or GitLab repository this is; any other address as it is (DSL: Catalogs).

    `https://github.com/<owner>/<repository>/<folder>@<version>`, as the DSL writes the address of a function, means the function's file in
    that folder, in the branch or under the tag of that name.
    """
    parts = urlsplit(address)
    steps = parts.path.strip("/").split("/")
    folder, at, version = "/".join(steps[2:]).rpartition("@")
    if parts.netloc in (GITHUB, f"www.{GITHUB}") and at and folder and len(steps) > 2 and steps[2] not in _PAGES:
        return _github(steps[0], steps[1], version, [folder, FUNCTION_FILE])
    return _raw(parts)


_PAGES = ("tree", "blob", "raw")


def _raw(parts: SplitResult, root: bool = False) -> str:
    """With `root` a repository's own page stands for its default branch."""
    steps = parts.path.strip("/").split("/")
    if parts.netloc in (GITHUB, f"www.{GITHUB}"):
        if len(steps) > 3 and steps[2] in _PAGES:
            return _github(steps[0], steps[1], *_reference(steps[3:]))
        if root and len(steps) == 2:
            return _github(steps[0], steps[1].removesuffix(".git"), DEFAULT_BRANCH, [])
    if "/-/tree/" in parts.path or "/-/blob/" in parts.path:
        return parts._replace(path=re.sub("/-/(tree|blob)/", "/-/raw/", parts.path, count=1)).geturl()
    if root and parts.netloc == GITLAB and len(steps) > 1 and "-" not in steps:
        return parts._replace(path=f"/{'/'.join(steps).removesuffix('.git')}/-/raw/{DEFAULT_BRANCH}").geturl()
    return parts.geturl()


def _reference(steps: list[str]) -> tuple[str, list[str]]:
    """A commit stands for itself, and so does what says itself that it is a tag or a branch; any other name is a branch's."""
    if steps[0] == "refs" and len(steps) > 2:
        return "/".join(steps[:3]), steps[3:]
    named = steps[0] if _COMMIT.fullmatch(steps[0]) else f"refs/heads/{steps[0]}"
    return named, steps[1:]


def _github(owner: str, repository: str, reference: str, steps: list[str]) -> str:
    return "/".join((f"https://{GITHUB_RAW}", owner, repository, reference, *steps))


def _in_catalog(root: str, name: str, version: str) -> str:
    """The file of a function in a catalog, whose structure is the same everywhere (DSL: File Structure)."""
    parts = urlsplit(_raw(urlsplit(root), root=True))
    path = f"{parts.path.rstrip('/')}/functions/{name}/{version}/{FUNCTION_FILE}"
    return parts._replace(path=path).geturl()
