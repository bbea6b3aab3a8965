"""What people do on the emulated Discord, and what bots may answer it with."""
