"""From text to parts that fit: pure, without a clock, a network or a platform's numbers."""

from gateway_core.text.cut import cut

__all__ = ["cut"]
