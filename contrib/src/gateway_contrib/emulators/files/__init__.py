"""Files that reach an emulator: read in bounds, recognised, stored by digest, served safely."""
