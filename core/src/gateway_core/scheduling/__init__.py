"""Decides who goes next in a partition, and who may come in. Sans-I/O.

May import `accounts` and below.
"""
