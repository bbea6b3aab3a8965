"""What engines of an outbox share: group commit, what is told as batches, values as rows.

It knows no database; the engines in `sqlite` and `postgres` import it, and it imports neither.
"""
