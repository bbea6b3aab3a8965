"""Starts programs, and ends what is left of them."""

import os
import signal
from contextlib import suppress

import pytest
from programs import Program


@pytest.fixture
def program(tmp_path):
    programs = []

    def start(code, **environ):
        programs.append(Program(tmp_path, code, **environ))
        return programs[-1]

    yield start
    for one in programs:
        with suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.communicate()
