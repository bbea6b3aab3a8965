"""What the emulators share: fault plans, rooms, the page, latency, silence and resets."""

from collections import Counter

import pytest
import trio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gateway_contrib.emulators.faults import FOREIGN_PAGES, Fault, FaultPlan, Said
from gateway_contrib.emulators.page import rooms_page
from gateway_contrib.emulators.rooms import Message, Rooms
from gateway_contrib.emulators.wire import Latency, reset, silence
from gateway_core.authors import TransportError
from gateway_core.http import Timeouts, open_client
from gateway_core.testing import open_network

URL = "https://api.example"
RATES = {Fault.SERVER_ERROR: 0.1, Fault.RESET_AFTER: 0.2}


def drawn(count, **arguments):
    plan = FaultPlan(**arguments)
    return [plan.next() for _ in range(count)], plan


def test_the_same_seed_gives_the_same_faults():
    first, _ = drawn(500, seed="a", rates=RATES)
    again, _ = drawn(500, seed="a", rates=dict(reversed(RATES.items())))
    other, _ = drawn(500, seed="b", rates=RATES)
    assert first == again
    assert first != other


def test_rates_are_shares_of_the_requests():
    faults, plan = drawn(10_000, rates=RATES)
    assert 900 < plan.counts[Fault.SERVER_ERROR] < 1100
    assert 1850 < plan.counts[Fault.RESET_AFTER] < 2150
    assert plan.counts == Counter(fault for fault in faults if fault is not None)


def test_a_script_names_requests_by_number_and_moves_no_other():
    plain, _ = drawn(50, rates=RATES)
    scripted, _ = drawn(50, rates=RATES, script={3: Fault.NO_ANSWER, 7: Fault.ROOM_GONE})
    assert scripted[3] is Fault.NO_ANSWER
    assert scripted[7] is Fault.ROOM_GONE
    assert [plain[n] for n in range(50) if n not in {3, 7}] == [
        scripted[n] for n in range(50) if n not in {3, 7}
    ]


def test_an_answer_word_for_word_is_given_but_is_no_fault_to_count():
    said = Said(status=429, body={"ok": False}, headers={"Retry-After": "7"})
    faults, plan = drawn(3, script={1: said}, limit=1)
    assert ([None, said, None], {}) == (faults, plan.counts)
    response = said.response()
    assert (429, b'{"ok": false}', "7") == (
        response.status_code,
        response.body,
        response.headers["retry-after"],
    )
    assert b"<html>" == Said(body=b"<html>").response().body


def test_somebody_between_answers_in_many_ways():
    faults, plan = drawn(len(FOREIGN_PAGES) + 1, rates={Fault.FOREIGN_PAGE: 1.0})
    assert [*FOREIGN_PAGES, FOREIGN_PAGES[0]] == faults
    assert {Fault.FOREIGN_PAGE: len(faults)} == plan.counts


def test_faults_end_at_the_limit():
    faults, plan = drawn(10, rates={Fault.MALFORMED: 1.0}, limit=3)
    assert faults == [Fault.MALFORMED] * 3 + [None] * 7
    assert plan.counts == {Fault.MALFORMED: 3}


def test_a_stopped_plan_has_no_more_faults():
    plan = FaultPlan(rates={Fault.MALFORMED: 1.0}, script={2: Fault.NO_ANSWER})
    assert plan.next() is Fault.MALFORMED
    plan.stop()
    assert [plan.next() for _ in range(5)] == [None] * 5


def test_a_plan_without_rates_has_no_faults():
    assert drawn(5)[0] == [None] * 5


@pytest.mark.parametrize(
    "rates", [{Fault.MALFORMED: -0.1}, {Fault.MALFORMED: 0.6, Fault.NO_ANSWER: 0.5}]
)
def test_rates_that_are_no_shares_are_refused(rates):
    with pytest.raises(ValueError, match="shares"):
        FaultPlan(rates=rates)


def message(id, room="a", **fields):  # noqa: A002 - the store's own word
    return Message(id=id, room=room, text=f"text {id}", **fields)


def test_a_conversation_is_what_a_reader_sees_in_the_order_of_storing():
    rooms = Rooms()
    for stored in (message("2"), message("1"), message("3"), message("1", room="b")):
        rooms.add(stored)
    rooms.get("a", "1").deleted = True
    assert [m.id for m in rooms.conversation("a")] == ["2", "3"]
    assert [m.id for m in rooms.all("a")] == ["2", "1", "3"]
    assert rooms.names() == ["a", "b"]


def test_what_was_never_stored_is_none():
    rooms = Rooms()
    assert rooms.get("a", "1") is None
    assert rooms.conversation("a") == []
    assert rooms.names() == []


def test_an_id_is_stored_once_in_its_room():
    rooms = Rooms()
    rooms.add(message("1"))
    with pytest.raises(ValueError, match="already"):
        rooms.add(message("1"))


def test_the_page_shows_what_arrived_and_runs_none_of_it():
    rooms = Rooms()
    rooms.add(message("1", room="<room>", thread="7", reply_to="0", revisions=["before"]))
    rooms.add(Message(id="2", room="<room>", text="<script>alert(1)</script> مرحبا\nline"))
    page = rooms_page("telegram", rooms)
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; مرحبا\nline" in page
    assert "&lt;room&gt; (2)" in page
    assert "id 1, thread 7, answers 0, edited" in page


def test_the_page_of_nothing_says_so():
    assert "Nothing arrived yet" in rooms_page("slack", Rooms())


def application(**endpoints):
    return Starlette(
        routes=[Route(f"/{name}", call, methods=["POST"]) for name, call in endpoints.items()]
    )


async def asked(app, *paths, timeouts=None, **mounting):
    """What became of each request, with the time of its end."""
    ends = []
    async with open_network() as network:
        network.mount(URL, app, **mounting)
        async with open_client(base_url=URL, timeouts=timeouts or Timeouts()) as client:
            for path in paths:
                try:
                    end = (await client.request("POST", path, json={})).body
                except TransportError as error:
                    end = error.dispatched
                ends.append((end, trio.current_time()))
    return ends


async def hello(request):
    await request.json()
    return PlainTextResponse("hello")


async def test_latency_passes_half_before_and_half_after(autojump_clock):
    seen = []

    async def timed(request):
        seen.append(trio.current_time())
        return PlainTextResponse("")

    app = Latency(2.0, 2.0, "1")(application(timed=timed))
    assert await asked(app, "/timed") == [(b"", 2.0)]
    assert seen == [1.0]


async def test_latency_is_drawn_by_seed_and_can_be_the_networks(autojump_clock):
    ends = await asked(application(hello=hello), "/hello", latency=Latency(0.02, 0.08, "x").halves)
    first, second = (Latency(0.02, 0.08, "x") for _ in range(2))
    draws = [first.halves() for _ in range(50)]
    assert draws == [second.halves() for _ in range(50)]
    assert all(0.01 <= up == down <= 0.04 for up, down in draws)
    assert ends == [(b"hello", pytest.approx(sum(draws[0])))]


async def test_a_reset_is_an_unknown_outcome_for_the_client_and_the_end_of_the_task(
    autojump_clock,
):
    ended = []

    async def cut(request):
        try:
            await reset(request)
        finally:
            ended.append(True)

    ends = await asked(application(cut=cut, hello=hello), "/cut", "/hello")
    assert ends == [("unknown", 0.0), (b"hello", 0.0)]
    assert ended == [True]


async def test_a_server_that_cannot_cut_is_told_so():
    class Plain:
        scope = {"type": "http"}  # noqa: RUF012 - a fake of one field

    with pytest.raises(RuntimeError, match="cannot cut"):
        await reset(Plain())


async def test_silence_outlasts_every_client(autojump_clock):
    async def quiet(request):
        await silence()

    assert await asked(application(quiet=quiet), "/quiet") == [("unknown", 35.0)]


async def test_silence_ends_after_an_hour_where_it_can_cut(autojump_clock):
    async def quiet(request):
        await silence(request)

    patient = Timeouts(read=1e5, total=1e5)
    ends = await asked(application(quiet=quiet), "/quiet", timeouts=patient)
    assert ends == [("unknown", 3600.0)]


async def test_silence_without_a_request_has_no_end(autojump_clock):
    with trio.move_on_after(1e6) as limit:
        await silence()
    assert limit.cancelled_caught
