"""For authors of settings classes: validators that name the setting, its value, and what is right.

A relation between two settings is declared at the later one, since both are known there.
"""

# isort: off
# fmt: off
from gateway_core.contract.instances import secret
from gateway_core.contract.problems import CheckedSettings, mistakes_in
from gateway_core.contract.validators import (
    ACCOUNT, above, all_of, alongside, as_path, at_least, at_most, below_gateway, flag,
    in_place_of, instance, mapping_of, matching, must_be, number, one_of, table, text, together,
    whole,
)

__all__ = [
    "ACCOUNT", "CheckedSettings", "above", "all_of", "alongside", "as_path", "at_least",
    "at_most", "below_gateway", "flag", "in_place_of", "instance", "mapping_of", "matching",
    "mistakes_in", "must_be", "number", "one_of", "secret", "table", "text", "together",
    "whole",
]
