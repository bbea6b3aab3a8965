"""Names what core and plugins exchange: envelopes, verdicts, errors, hooks; imports no package."""
