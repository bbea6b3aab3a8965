"""Works on the connection that writes: batches, reopened envelopes, and forgetting.

The outbox is above this package; it imports the packages `beside` and `connections`, and the names.
"""
