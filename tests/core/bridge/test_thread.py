"""The queue into the gateway's thread."""

import threading

import pytest

from gateway_core.bridge.thread import TrioThread

SOON = 10


class Interrupted:
    """A trio token in whose first use a signal's handler raises."""

    def __init__(self, token):
        self._token, self._raised = token, False

    def run_sync_soon(self, work):
        if not self._raised:
            self._raised = True
            raise KeyboardInterrupt
        self._token.run_sync_soon(work)


def test_a_ctrl_c_in_the_middle_of_a_post_stops_no_later_one():
    thread, done = TrioThread(), threading.Event()
    thread._token = Interrupted(thread._token)
    with pytest.raises(KeyboardInterrupt):
        thread.post(lambda: None)
    thread.post(done.set)
    assert done.wait(SOON)
    thread.stop()
