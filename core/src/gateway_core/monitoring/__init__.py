"""Performs spans, histograms, snapshots if anybody listens; may import `files` and below."""
