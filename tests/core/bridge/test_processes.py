"""Programs in processes of their own, ended in every way: nothing is lost, nothing hangs."""

import signal
import time

import pytest
from amounts import amount
from programs import ASYNCIO, BLOCKING, IN_A_BLOCK, MESSAGES

LATER = """
def later():
    accept("a")
    time.sleep(1)
    accept("b")
gateway.open()
threading.Thread(target=later).start()
"""
POOL = """
from concurrent.futures import ThreadPoolExecutor
gateway.open()
ThreadPoolExecutor().submit(accept)
"""


def ended_well(one, code=0):
    assert code == one.end(), one.said
    assert [] == one.lost(), one.said
    assert MESSAGES <= len(one.lines("accepted"))
    assert "Event loop is closed" not in one.said
    assert "Traceback" not in one.said.replace("KeyboardInterrupt", "", 1) or code != 0


# -- asyncio


@pytest.mark.parametrize("times", [2, 1][: amount("times of Ctrl-C")])
def test_ctrl_c_once_and_twice_drains_an_asyncio_program(program, times):
    one = program(IN_A_BLOCK + "asyncio.run(main())").until_ready()
    one.press(times)
    ended_well(one, -signal.SIGINT)
    assert MESSAGES == len(one.lines("delivered"))


def test_a_third_ctrl_c_ends_it_and_lists_what_is_left(program):
    one = program(IN_A_BLOCK + "asyncio.run(main())", SECONDS_EACH="100").until_ready()
    start = time.monotonic()
    one.press(3)
    assert -signal.SIGINT == one.end()
    assert time.monotonic() - start < 25
    assert MESSAGES == (one.said + one.out).count("gateway.left_at_close")


def test_sigterm_drains_an_asyncio_program_that_hears_it(program):
    code = """
async def whole():
    task = asyncio.current_task()
    import signal
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await main()
    except asyncio.CancelledError:
        pass
asyncio.run(whole())
"""
    one = program(IN_A_BLOCK + code).until_ready()
    one.process.terminate()
    ended_well(one)


@pytest.mark.parametrize(
    "ends",
    [
        "loop = asyncio.new_event_loop(); loop.run_until_complete(main())",
        # The main thread ends once it is open: no thread is started after that.
        "threading.Thread(target=asyncio.run, args=(main(),)).start(); open_.wait()",
        "asyncio.run(main())",
        "loop = asyncio.new_event_loop(); loop.run_until_complete(main()); loop.close()",
    ][: amount("ends of a loop")],
)
def test_a_loop_that_ends_with_the_gateway_open_loses_nothing(program, ends):
    code = """
async def main():
    gateway = await open_gateway(**given()).__aenter__()
    open_.set()
    await accept(gateway)
"""
    code = f"import threading\nopen_ = threading.Event()\n{code}"
    one = program(f"{ASYNCIO}{code}\n{ends}", PYTHONWARNINGS="ignore::ResourceWarning")
    assert 0 == one.end(), one.said
    assert MESSAGES == len(one.lines("delivered")), one.said
    assert "gateway.loop_ended" in one.out + one.said
    assert "Event loop is closed" not in one.said
    assert "Traceback" not in one.said


# -- code that blocks


@pytest.mark.parametrize(
    "code",
    [
        "accept()",
        "accept(); gateway.close()",
        # A thread that goes on after the main one may send to its end.
        LATER,
        POOL,
        "with gateway: accept()",
        "accept(); sys.exit(0)",
        "gateway.open(); threading.Thread(target=accept).start()",
    ][: amount("ends of a program that blocks")],
)
def test_a_program_that_ends_drains(program, code):
    one = program(BLOCKING + code)
    ended_well(one)


def test_a_first_use_after_the_main_thread_is_delivered_or_says_that_it_is_too_late(program):
    """Some releases of Python start no thread any more then (3.13.5), others do (3.11, 3.13.0)."""
    one = program(BLOCKING + "threading.Thread(target=lambda: (time.sleep(1), accept())).start()")
    code = one.end()
    accepted = one.lines("accepted")
    if "open the gateway before that" in one.said:
        assert [] == accepted
    else:
        assert (0, [], MESSAGES) == (code, one.lost(), len(accepted)), one.said


WHERE = ["accept(); time.sleep(1e6)", "with gateway: accept(); time.sleep(1e6)"]
"""What Ctrl-C interrupts."""
PRESSED = [(WHERE[0], 2), (WHERE[1], 1), (WHERE[0], 1), (WHERE[1], 2)]


@pytest.mark.parametrize(("where", "times"), PRESSED[: 2 * amount("times of Ctrl-C")])
def test_ctrl_c_once_and_twice_drains_a_program_that_blocks(program, times, where):
    one = program(BLOCKING + where).until_ready()
    one.press(times)
    ended_well(one, -signal.SIGINT)


@pytest.mark.parametrize("where", WHERE[: amount("times of Ctrl-C")])
def test_a_third_ctrl_c_ends_a_program_that_blocks(program, where):
    one = program(BLOCKING + where, SECONDS_EACH="100").until_ready()
    start = time.monotonic()
    one.press(3)
    assert -signal.SIGINT == one.end()
    assert time.monotonic() - start < 25
    assert MESSAGES == (one.said + one.out).count("gateway.left_at_close")


def test_sigterm_drains_a_program_that_turns_it_into_its_exit(program):
    code = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); accept(); time.sleep(1e6)"
    one = program(BLOCKING + code).until_ready()
    one.process.terminate()
    ended_well(one)


def test_an_idle_program_drains_with_files_that_need_a_thread(program):
    """Worker threads end after ten seconds without work, and at the exit none can be started."""
    code = """
import trio._core._thread_cache as cache
cache.IDLE_TIMEOUT = 0.2
gateway = open_gateway(**given(outbox=f"sqlite://{os.getcwd()}/outbox.db", drain_timeout=5))
accept()
time.sleep(1.5)
accept("late")
"""
    one = program(BLOCKING + code)
    assert 0 == one.end(), one.said
    assert "outbox_failed" not in one.out + one.said
    assert "Traceback" not in one.said


# -- forks


def test_one_that_is_named_before_a_fork_opens_in_each_child(program):
    code = """
for name in "ab":
    if os.fork() == 0:
        accept(name)
        sys.exit(0)
for _ in range(2):
    assert os.wait()[1] == 0
"""
    one = program(BLOCKING + code)
    ended_well(one)
    assert 2 * MESSAGES == len(one.lines("delivered"))


def test_one_that_was_open_before_a_fork_says_so_in_the_child(program):
    code = """
accept("parent")
if os.fork() == 0:
    for call in (lambda: gateway.send("bot", "room", "vanishes"), gateway.statistics):
        try:
            call()
        except RuntimeError as error:
            note("refused", str(error).partition(":")[0].partition(",")[0].replace(" ", "-"))
    gateway.open()
    accept("child")
    sys.exit(0)
assert os.wait()[1] == 0
accept("after")
"""
    one = program(BLOCKING + code)
    ended_well(one)
    assert 2 * ["this-gateway-was-open-when-the-process-forked"] == one.lines("refused")
    assert 3 * MESSAGES == len(one.lines("delivered"))


def test_a_child_forked_while_another_thread_sends_does_not_hang(program):
    code = """
def sends():
    for n in range(300):
        gateway.enqueue("bot", f"room {n}", f"p{n}")
thread = threading.Thread(target=sends)
thread.start()
children = []
for n in range(10):
    other = open_gateway(**given())
    pid = os.fork()
    if pid == 0:
        other.send("bot", "room", f"c{n}")
        os._exit(0)
    children.append(pid)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
thread.join()
accept()
"""
    one = program(BLOCKING + code, SECONDS_EACH="0.01", PYTHONWARNINGS="ignore")
    ended_well(one)
    assert {f"c{n}" for n in range(10)} <= set(one.lines("delivered"))


def test_a_child_forked_in_the_middle_of_a_log_line_can_log(program):
    """structlog's lock would stay held in the child, whose gateway then hangs at its opening."""
    code = """
import structlog
from gateway_core.telemetry.events import OUTBOX_IN_MEMORY, log_event

class Slow:
    def write(self, text):
        writes.set()
        time.sleep(0.5)
        return sys.stderr.write(text)

    def flush(self): pass

writes = threading.Event()
structlog.configure(logger_factory=structlog.PrintLoggerFactory(Slow()))
logs = threading.Thread(target=log_event, args=[OUTBOX_IN_MEMORY])
logs.start()
writes.wait()
if os.fork() == 0:
    gateway.send("bot", "room", "c")
    os._exit(0)
assert os.wait()[1] == 0
logs.join()
accept()
"""
    one = program(BLOCKING + code, PYTHONWARNINGS="ignore")
    ended_well(one)
    assert "c" in one.lines("delivered")


METHODS = ["fork", "spawn", "forkserver"]


@pytest.mark.parametrize("method", METHODS[: amount("methods of multiprocessing")])
def test_processes_of_multiprocessing_drain(program, method):
    code = f"""
import multiprocessing
if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    processes = [context.Process(target=accept, args=(name,)) for name in "ab"]
    for process in processes: process.start()
    for process in processes: process.join()
    assert [0, 0] == [process.exitcode for process in processes]
"""
    one = program(BLOCKING + code)
    ended_well(one)
    assert 2 * MESSAGES == len(one.lines("delivered"))


def test_an_asyncio_program_that_forks_is_told_in_the_child(program):
    code = """
async def main():
    import os
    async with open_gateway(**given()) as gateway:
        await accept(gateway)
        if os.fork() == 0:
            try:
                await gateway.send("bot", "room", "vanishes")
            except RuntimeError as error:
                note("refused", str(error).split(",")[0].replace(" ", "-"))
            os._exit(0)
        os.wait()
asyncio.run(main())
"""
    one = program(ASYNCIO + code)
    ended_well(one)
    assert ["this-gateway-was-open-when-the-process-forked"] == one.lines("refused")
