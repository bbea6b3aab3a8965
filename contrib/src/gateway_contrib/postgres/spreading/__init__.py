"""Accounts spread over the processes that share an outbox: who is to own what, and how it is had.

`balance` and `shares` decide, without I/O; `tables` and `member` read and write; `sharing` is the
part of the outbox that has it. It imports connections, names, and what an outbox is made of.
"""
