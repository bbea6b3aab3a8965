"""Mutations: would a test notice if a line of core were another one?

Some 200 places of the modules in `modules.TESTS` are changed one after the other, each in a copy
of the workspace, and the tests beside that module are run. A mutation that they pass has survived:
it gets a test, or stands in docs/explanation/mutations.md with the reason why none could tell.
"""
