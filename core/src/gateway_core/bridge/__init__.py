"""Runs gateways on one trio thread of the process, for callers that run elsewhere.

It may import `gateway` and below. What asyncio and blocking code share stands here: the thread and
the queue into it, what a call is, a context manager held open in one task, a fork, and the exit of
the process. How a caller waits for an answer is its face's own: `aio`, `blocking`.
"""
