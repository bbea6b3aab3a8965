"""Looks at the files of envelopes, stores and reads them; may import `outboxes` and below."""
