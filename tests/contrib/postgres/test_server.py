"""The server that the tests begin ends with them, whatever ends them."""

import shutil
import subprocess
import sys
from pathlib import Path

import postgres_server

BEGINS_ONE = """
import sys
sys.path.insert(0, sys.argv[1])
from postgres_server import Server
server = Server().start()
print(server._process.pid, server.folder, flush=True)
sys.stdin.read()
"""


def test_it_dies_with_the_process_that_began_it(server):
    shared = str(Path(postgres_server.__file__).parent)
    command = [sys.executable, "-c", BEGINS_ONE, shared]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        pid, folder = process.stdout.readline().split()
        process.kill()
    ended = ["tail", f"--pid={int(pid)}", "-f", "/dev/null"]  # returns once that has ended
    assert 0 == subprocess.run(ended, timeout=60, check=False).returncode
    shutil.rmtree(folder)


def test_each_test_has_a_database(server, database):
    assert [(database,)] == server.execute("SELECT current_database()", database=database)
