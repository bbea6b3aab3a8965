"""Performs spans, histograms and snapshots, if anybody listens.

May import `outboxes` and below.
"""
