"""The command line `gateway`, and its demo."""
