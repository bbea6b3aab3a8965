"""Calls out of threads that block: answers, errors, timeouts, many threads, first use, the end."""

import contextvars
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest
from bridged import SOON, Held, config, on_thread

from gateway_core import (
    ConfigError,
    DeliveryError,
    Disposition,
    Edit,
    GatewayClosed,
    Instance,
    Invalid,
    Limit,
    Part,
    PartitionFailed,
    Send,
    UnknownInstance,
)
from gateway_core.authors import hookimpl
from gateway_core.blocking import Gateway, Ticket, home, open_gateway
from gateway_core.bridge import exits
from gateway_core.bridge.thread import gateway_thread
from gateway_core.testing import FakeChannel, FakeSettings


def named(channel=None, *, plugins=(), **settings):
    channel = FakeChannel() if channel is None else channel
    return open_gateway(config(**settings), plugins=[*plugins, ("fake", channel)])


@pytest.fixture
def opened():
    """Makes gateways that are closed after the test."""
    made = []

    def make(*args, **settings):
        made.append(named(*args, **settings))
        return made[-1]

    yield make
    for gateway in made:
        gateway.close()


def test_every_verb_answers_as_under_trio(opened):
    channel = FakeChannel()
    gateway = opened(channel)
    sent = gateway.send("bot", "room", "one")
    edited = gateway.edit(sent.ref, "two")
    assert ["two"] == channel.texts("room")
    assert Disposition.DELIVERED == gateway.delete(edited.ref).disposition
    assert {"n": 1} == gateway.call("bot", "room", "pin", {"n": 1}).result
    ticket = gateway.enqueue("bot", "room", "three")
    assert isinstance(ticket, Ticket)
    receipt = ticket.receipt()
    assert (ticket.id, True) == (receipt.envelope_id, ticket.ended)
    gateway.edit(ticket, "four")
    assert gateway.react(ticket, "👍", key="once", timeout=SOON).delivered
    gateway.pin(ticket.ref, silent=True)
    assert [["👍"], ["2"]] == [*channel.reactions.values(), channel.pins["room"]]
    gateway.unreact(ticket, "👍")
    gateway.unpin(ticket, raises=False)
    assert [{}, []] == [channel.reactions, channel.pins["room"]]
    change = Edit(instance_id="bot", external_room_id="room", target=ticket.ref, text="five")
    assert gateway.submit(change, wait=False).receipt(timeout=SOON).delivered
    assert ["five"] == channel.texts("room")
    assert "ended" == gateway.status(ticket).state
    assert not gateway.cancel(ticket)
    gateway.delete(ticket)


def test_the_rest_of_the_face_answers(opened):
    gateway = opened()
    assert 0 == gateway.statistics().accepted
    hello = Send(instance_id="bot", external_room_id="room", text="hello")
    assert () == tuple(gateway.preview(hello).problems)
    assert gateway.address("bot", {}) is None
    gateway.add_instance(Instance("other", "fake", FakeSettings()))
    gateway.suspend("other")
    gateway.resume("other")
    gateway.replace_instance(Instance("other", "fake", FakeSettings(name="new")))
    assert "other" == gateway.probe("other").name
    assert [] == gateway.remove_instance("other")
    assert () == gateway.reload(gateway.config).added
    assert [] == gateway.drain(timeout=SOON)
    gateway.quiet()
    with pytest.raises(GatewayClosed):
        gateway.send("bot", "room", "late")


def test_it_opens_at_its_first_use_and_not_before():
    channel = FakeChannel()
    gateway = named(channel)
    assert set() == exits._open
    gateway.send("bot", "room", "hello")
    assert 1 == len(exits._open)
    gateway.close()
    assert set() == exits._open
    with pytest.raises(GatewayClosed):
        gateway.send("bot", "room", "late")
    with pytest.raises(GatewayClosed):
        gateway.open()
    gateway.close()


def test_one_that_was_never_used_is_closed_without_ado():
    gateway = named()
    gateway.close()
    with pytest.raises(GatewayClosed):
        gateway.send("bot", "room", "late")


def test_a_mistake_in_the_configuration_is_raised_at_each_first_use(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text("colour = 1\n")
    gateway = open_gateway(file)
    for _ in range(2):
        with pytest.raises(ConfigError, match="colour"):
            gateway.send("bot", "room", "hello")
    file.write_text("drain_timeout = 1\n")
    assert 0 == gateway.statistics().accepted  # mended meanwhile
    gateway.close()


async def test_an_async_block_says_which_block_it_is():
    with pytest.raises(TypeError, match=r"blocks: write `with open_gateway\(…\) as gateway:`, or"):
        async with named():
            pytest.fail("it opened")  # pragma: no cover


def test_a_block_opens_and_drains_it():
    channel = FakeChannel(latency=0.1)
    with named(channel) as gateway:
        assert isinstance(gateway, Gateway)
        ticket = gateway.enqueue("bot", "room", "accepted")
    assert ["accepted"] == channel.texts("room")
    assert ticket.receipt().delivered


def test_an_exception_of_the_block_leaves_it_after_the_drain():
    channel = FakeChannel(latency=0.1)

    def fails():
        with named(channel) as gateway:
            gateway.enqueue("bot", "room", "accepted")
            raise LookupError

    with pytest.raises(LookupError):
        fails()
    assert ["accepted"] == channel.texts("room")


def test_errors_arrive_unwrapped(opened):
    gateway = opened()
    with pytest.raises(Invalid):
        gateway.send("bot", "room", "")
    with pytest.raises(DeliveryError):
        gateway.send("bot", "room", "soon gone", not_before=4e9, ttl=0.001)


def test_threads_that_send_together_open_it_once_and_get_their_own_answers(opened):
    channel = FakeChannel(latency=0.001)
    gateway = opened(channel)
    user = contextvars.ContextVar("user")

    def send(n):
        user.set(n)
        return n, gateway.send("bot", f"room {n % 7}", str(n)).parts[0].message_id

    with ThreadPoolExecutor(20) as pool:
        found = dict(pool.map(send, range(200)))
    texts = {made.attempt.part.payload["text"] for made in channel.made}
    assert {str(n) for n in range(200)} == texts
    assert 200 == len(set(found.values()))
    assert 200 == gateway.statistics().accepted


def test_order_is_that_of_each_room(opened):
    channel = FakeChannel()
    gateway = opened(channel)
    for n in range(50):
        ticket = gateway.enqueue("bot", "room", str(n))
    ticket.receipt()
    assert [str(n) for n in range(50)] == channel.texts("room")


def test_a_timeout_withdraws_what_has_not_started_and_only_that(opened):
    channel = Held()
    gateway = opened(channel)
    with pytest.raises(TimeoutError, match=r"1(\.0)? s"):
        gateway.send("bot", "room", "started", timeout=1)
    with pytest.raises(TimeoutError):
        gateway.send("bot", "room", "not started", timeout=0)
    assert 1 == gateway.statistics().unfinished
    channel.let_go()
    assert gateway.send("bot", "room", "after", timeout=SOON).delivered
    assert ["started", "after"] == channel.texts("room")


def test_what_a_timeout_withdraws_are_the_gateway_s_own_verbs():
    assert all(callable(getattr(Gateway, name)) for name in home.SUBMITS)


def test_a_timeout_says_what_becomes_of_the_message(opened):
    """Somebody who reads that it is withdrawn sends it again."""
    channel = Held()
    gateway = opened(channel)
    said = {}

    def late(name, method, *args, **fields):
        with pytest.raises(TimeoutError) as told:
            method(*args, **fields, timeout=0.01)
        said[name] = str(told.value).partition("; ")[2]

    late("send", gateway.send, "bot", "room", "first")
    late("detached", gateway.send, "bot", "room", "second", on_cancel="detach")
    ticket = gateway.enqueue("bot", "room", "third")
    late("receipt", ticket.receipt)
    late("edit", gateway.edit, ticket, "third, edited")
    job = gateway.broadcast("bot", ["room"], "fourth")
    late("job", job.wait)
    withdrawn, goes_on = "it is withdrawn unless it has started", "only this wait has ended"
    expected = {"send": withdrawn, "detached": goes_on, "receipt": goes_on}
    assert expected | {"edit": withdrawn, "job": goes_on} == said
    channel.let_go()
    assert job.wait(timeout=SOON).ended
    assert ["first", "second", "third", "fourth"] == channel.texts("room")


@pytest.mark.parametrize(
    "timeout",
    [-1, "soon", float("nan"), True, 10**400, -(10**400)],
    ids=lambda value: str(value)[:9],
)
def test_a_timeout_that_is_none_is_refused_before_anything_is_sent(opened, timeout):
    channel = FakeChannel()
    gateway = opened(channel)
    with pytest.raises(ValueError, match="`timeout` must be seconds"):
        gateway.send("bot", "room", "hello", timeout=timeout)
    assert [] == channel.made
    assert gateway.send("bot", "room", "hello", timeout=float("inf")).delivered


def test_an_exception_of_a_signal_s_handler_withdraws(opened):
    """As the time limits of workers are made."""
    channel = Held()
    gateway = opened(channel)
    gateway.enqueue("bot", "room", "started")

    def limit(_number, _frame):
        raise LookupError("too long")

    before = signal.signal(signal.SIGALRM, limit)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(LookupError, match="too long"):
            gateway.send("bot", "room", "not started")
    finally:
        signal.signal(signal.SIGALRM, before)
    while gateway.statistics().unfinished > 1:
        time.sleep(0.001)  # noqa: TID251 - of a program that blocks
    channel.let_go()


def test_a_hook_that_calls_it_is_told_not_to_wait_for_itself(opened):
    found = []

    class Policy:
        @hookimpl
        def after_disposition(self):
            try:
                gateway.send("bot", "room", "never")
            except RuntimeError as error:
                found.append(str(error))
            found.append(gateway.statistics().accepted)

    gateway = opened(plugins=[Policy()])
    gateway.send("bot", "room", "hello")
    assert ["this call comes from a hook", 1] == [found[0].partition(",")[0], found[1]]


def test_endings_are_an_iterator_that_ends_with_the_gateway():
    with named() as gateway:
        endings = gateway.endings()
        for n in range(3):
            gateway.send("bot", "room", str(n))
        first = next(endings)
        assert ["2", "3"] == [next(endings).receipt.parts[0].message_id for _ in range(2)]
        with pytest.raises(TimeoutError):
            endings.next_within(0.2)
        gateway.send("bot", "room", "last")
    rest = [one.receipt.parts[0].message_id for one in endings]
    assert ("1", ["4"]) == (first.receipt.parts[0].message_id, rest)


def test_limits_hold_over_threads(opened):
    channel = FakeChannel(limits=lambda _room, _operation: [Limit("all", 10, 1.0, "window")])
    gateway = opened(channel)
    with ThreadPoolExecutor(15) as pool:
        list(pool.map(lambda n: gateway.send("bot", f"room {n}", "x"), range(15)))
    times = channel.times
    assert all(b - a >= 1.0 for a, b in zip(times, times[10:], strict=False))


class Planning(FakeChannel):
    """Notes in which threads it plans; `previews` a long text as it is asked for its limits."""

    def __init__(self):
        super().__init__()
        self.planned_on, self.preview = [], None

    @hookimpl
    def chunk(self, envelope):
        self.planned_on.append(threading.current_thread().name)
        return [Part(payload={"text": "plan"}, span=(0, len(envelope.text)))]

    @hookimpl
    def rate_limit(self):
        preview, self.preview = self.preview, None
        if preview is not None:
            preview(LONG_TEXT)
        return []


LONG_TEXT = Send(instance_id="bot", external_room_id="room", text="word " * 2001)


def test_a_preview_of_a_long_text_is_planned_beside_the_gateways_thread(opened):
    channel = Planning()
    gateway = opened(channel)
    assert () == gateway.preview(LONG_TEXT).problems
    assert 1 == len(channel.planned_on)
    assert "gateway" not in channel.planned_on
    with pytest.raises(UnknownInstance):
        gateway.preview(attrs.evolve(LONG_TEXT, instance_id="other"))


def test_a_hook_previews_a_long_text_in_its_own_thread(opened):
    """It could not wait for the gateway's thread, on which it is called."""
    channel = Planning()
    gateway = opened(channel)
    channel.preview = gateway.preview
    assert gateway.send("bot", "room", "hello").delivered
    assert ["gateway", "gateway"] == channel.planned_on


def test_one_that_gives_up_tells_callers_and_its_end(monkeypatch):
    monkeypatch.setattr("gateway_core.engine.supervisor.MOST_RESTARTS", 1)
    gateway = named(partition_count=1)
    gateway.send("bot", "room", "hello")  # its partition has begun
    partition = gateway._core._partitions[0]

    async def dies():
        raise RuntimeError("at once")

    partition._keep_time = dies
    gateway_thread().post(partition.workers.nursery.cancel_scope.cancel)

    def ask():
        while True:
            gateway.status("unknown")

    with pytest.raises(GatewayClosed) as caught:
        ask()
    assert isinstance(caught.value.__cause__, PartitionFailed)
    with pytest.raises(PartitionFailed):
        gateway.close()


def test_all_of_a_process_run_on_one_thread(opened):
    first, second = opened(), opened()
    first.send("bot", "room", "hello")
    second.send("bot", "room", "hello")
    names = [thread.name for thread in threading.enumerate()]
    assert 1 == names.count("gateway")
    assert "gateway" == on_thread(lambda: threading.current_thread().name)
