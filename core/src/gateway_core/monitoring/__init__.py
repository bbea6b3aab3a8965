"""Performs spans, histograms, snapshots if anybody listens; may import `outboxes` and below."""
