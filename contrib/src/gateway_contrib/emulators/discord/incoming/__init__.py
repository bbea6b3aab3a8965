"""What people do on the emulated Discord, and how bots hear of it."""
