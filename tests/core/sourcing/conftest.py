"""Tasks run in an order drawn from each test's name and the seed."""

from audited import _schedule

__all__ = ["_schedule"]
