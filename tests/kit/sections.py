"""The specification, section by section: which test covers which of its statements.

A statement is one that says must, should or may not, or what holds where nothing is said. Where a file alone is named, the
statement is a case in its table. Sections are those of dsl-reference.md and, behind them, of dsl.md.
"""

from tests.kit.sections_of_lifecycle import LIFECYCLE
from tests.kit.sections_of_parts import PARTS
from tests.kit.sections_of_services import SERVICES
from tests.kit.sections_of_tasks import TASKS

TABLES = (TASKS, PARTS, SERVICES, LIFECYCLE)
SECTIONS: dict[str, dict[str, str]] = {section: tests for table in TABLES for section, tests in table.items()}
