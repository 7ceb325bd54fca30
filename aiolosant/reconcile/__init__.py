"""Say what should be, and the migration follows: import, copy, resume, verify and dry run in one.

records = reconcile.read_records("groups.jsonl")
plan = await reconcile.plan(groups, records, match_by=by_name())
print(plan.summary())
async for outcome in reconcile.apply(groups, plan, concurrency=32):
    ...
"""

from .diff import compare
from .engine import Applying, apply, plan
from .model import Change, ChangeOutcome, Plan, Record
from .records import read_records
from .writing import RecordWriter

__all__ = [
    "Applying",
    "Change",
    "ChangeOutcome",
    "Plan",
    "Record",
    "RecordWriter",
    "apply",
    "compare",
    "plan",
    "read_records",
]
