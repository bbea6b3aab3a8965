"""What every figure in the docs comes from. Ratios hold within one run; machines are noisy."""
