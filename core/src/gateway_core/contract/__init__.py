"""Names what core and plugins exchange: envelopes, verdicts, errors and hooks. Sans-I/O.

Imports nothing of core.
"""
