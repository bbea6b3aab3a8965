"""Adds, replaces, suspends, resumes and removes instances; may import what `engine` may."""
