"""Spreads accounts over the processes that share an outbox: decides who owns each, and takes them.

`balance` and `shares` decide, without I/O; `tables` and `member` read and write; `sharing` is the
part of the outbox that uses them. The package imports connections, names, and parts of an outbox.
"""
