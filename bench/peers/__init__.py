"""Compares this gateway with the clients that people use today: `python -m bench.peers`."""
