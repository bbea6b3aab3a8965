"""Performs spans, histograms and snapshots, where anybody listens."""
