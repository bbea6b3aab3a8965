"""The parts that outbox engines share: group commit, batches of reported changes, values as rows.

This package knows no database; the engines in `sqlite` and `postgres` import it, and it imports
neither.
"""
