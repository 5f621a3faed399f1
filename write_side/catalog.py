"""The table of contents: the deciders, and through them every command."""

from infra.patterns.decider import DeciderCatalog
from write_side.agent import AGENT
from write_side.agent_name import AGENT_NAME
from write_side.approval import APPROVAL
from write_side.fleet import FLEET
from write_side.job import JOB
from write_side.message import MESSAGE
from write_side.node import NODE
from write_side.run import RUN
from write_side.task import TASK
from write_side.workflow import WORKFLOW

CATALOG = DeciderCatalog(AGENT, AGENT_NAME, TASK, NODE, FLEET, JOB, WORKFLOW, RUN, APPROVAL, MESSAGE)
