"""What the database has beside entries: groups, and bytes in pieces.

Above it are the outbox and its writer; below it names and rows.
"""
