"""Mutation tests: would a test notice if a line of core were different?

About 200 places in the modules of `modules.TESTS` are changed one after the other, in a copy of the
workspace, and the module's tests are run. If the tests pass, the mutation has survived. Then it
gets a test, or a line in docs/explanation/mutations.md with the reason why no test could notice it.
"""
