"""This gateway beside the clients that people use today; `python -m bench.peers`."""
