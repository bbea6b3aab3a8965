"""Performs what one instance needs at run time: its sessions, health, probes and counts.

May import `plugins` and below.
"""
