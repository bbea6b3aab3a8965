"""What the file has beside entries: groups, and bytes, of which large ones are files of their own.

Above it are the outbox and its writer; below it rows, sealing and what names failures.
"""
