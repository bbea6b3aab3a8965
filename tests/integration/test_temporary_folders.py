"""A process with large files and no outbox, really killed: the next one deletes what it left."""

import signal
import subprocess
import sys
import tempfile

from gateway_core.files.spool import LARGE, Spool
from gateway_core.outboxes import digest_of_bytes

PROGRAM = f"""
import sys, trio
from gateway_core.files.spool import Spool
from gateway_core.outboxes import digest_of_bytes

async def main():
    content, spool = bytes({LARGE}), Spool()
    await spool.store_bytes(digest_of_bytes(content), [content])
    print("stored", flush=True)
    await trio.sleep_forever()

trio.run(main)
"""


async def test_the_next_process_deletes_what_a_killed_one_left(tmp_path, monkeypatch):
    """And leaves the folder of a process that lives."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    processes = []
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE)  # noqa: ASYNC220 - nothing else runs, and these are its own words
        assert b"stored\n" == process.stdout.readline()
        processes.append(process)
    killed, alive = processes
    try:
        assert 2 == len(list(tmp_path.iterdir()))
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        content, spool = b"x" * LARGE, Spool()
        await spool.store_bytes(digest_of_bytes(content), [content])
        own = spool._folder.path
        [other] = [path for path in tmp_path.iterdir() if path != own]
        assert [digest_of_bytes(bytes(LARGE))] == [path.name for path in other.iterdir()]
        spool.close()
    finally:
        alive.kill()
        alive.wait()
        for process in processes:
            process.stdout.close()
