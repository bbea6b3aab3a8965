"""Seals stored texts with the operator's keys, and opens them again, in any engine.

Values by which rows are looked up stay unsealed: ids, instances, rooms, states, times, classes.
"""
