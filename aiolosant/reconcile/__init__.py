"""Say what should be, and the migration follows: import, copy, resume, verify and dry run in one.

records = reconcile.read_records("groups.jsonl")
plan = await reconcile.plan(groups, records, match_by=by_name())
print(plan.summary())
async for outcome in reconcile.apply(groups, plan, concurrency=32):
    ...
"""

from .apply import Applying, apply
from .change import Change, ChangeOutcome, Difference
from .plan import Plan
from .planner import compare
from .readers import read_records
from .record import Record
from .undo import undo
from .warnings import PlanWarning
from .writers import RecordWriter

# The last of these imports, or type checkers take `plan` for the module of that name.
from .make_plan import plan  # isort: skip

__all__ = [
    "Applying",
    "Change",
    "ChangeOutcome",
    "Difference",
    "Plan",
    "PlanWarning",
    "Record",
    "RecordWriter",
    "apply",
    "compare",
    "plan",
    "read_records",
    "undo",
]
