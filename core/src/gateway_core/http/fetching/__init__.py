"""Fetches files from hosts that an application allowed, and from nowhere else."""
