"""Files that reach an emulator: read within bounds, recognised, stored by digest, served safely."""
