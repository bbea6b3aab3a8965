"""What the connection that writes does: batches, what is unfinished again, what is forgotten.

Above it is the outbox; it imports what is `beside` entries, names and connections.
"""
