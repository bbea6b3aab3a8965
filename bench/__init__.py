"""Measures every figure in the docs. Compare only figures of one run, since machines are noisy."""
