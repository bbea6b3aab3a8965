"""Each test here has an audited gateway, and words for what a platform says."""

from audited import _schedule, auditor, engine, new_engine, say

__all__ = ["_schedule", "auditor", "engine", "new_engine", "say"]
