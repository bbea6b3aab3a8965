"""The contract: envelopes, verdicts, errors and hooks. Imports no other package of core."""
