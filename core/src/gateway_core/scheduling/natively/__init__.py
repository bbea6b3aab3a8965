"""Plans streams that platforms show natively; imports from `scheduling` and below."""
