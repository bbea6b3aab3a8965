"""The contract: envelopes, verdicts, errors, hooks, and the checks of their fields. Imports nothing above."""
