"""Runs gateways on one trio thread of the process, for callers that run elsewhere.

It may import `gateway` and below. It has what asyncio and blocking code share: the thread and the
queue into it, calls, context managers that one task holds open, forks, and the exit of the process.
The faces `aio` and `blocking` decide how a caller waits for an answer.
"""
