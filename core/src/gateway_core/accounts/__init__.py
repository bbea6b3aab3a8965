"""One instance at run time: its limits, its health, its sessions, its counts."""
