"""The network in memory: hosts, phases, and servers that go on without their clients."""

import math

import httpx2
import pytest
import trio

from gateway_core.authors import TransportError
from gateway_core.http import Timeouts, UnreadableBody, open_client, transport_factory
from gateway_core.testing import open_network

URL = "https://api.example"


def answering(body=b"{}", status=200):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    return app


async def get(network, path="/x", timeouts=None, method="GET"):
    """What a client gets that opens, asks once, and closes."""
    async with open_client(base_url=URL, timeouts=timeouts or Timeouts()) as client:
        return await client.request(method, path)


async def test_an_answer_takes_the_way_there_and_back(autojump_clock):
    seen = []

    async def app(scope, receive, send):
        seen.append(trio.current_time())
        await answering()(scope, receive, send)

    async with open_network() as network:
        network.mount(URL, app, latency=lambda: (0.5, 0.25))
        assert (await get(network)).status == 200
    assert seen == [0.5]
    assert trio.current_time() == 0.75


async def test_the_phases_add_up(autojump_clock):
    async with open_network() as network:
        network.mount(URL, answering(), latency=lambda: (3, 4), connect=lambda: 1, write=lambda: 2)
        await get(network)
    assert trio.current_time() == 10


async def test_the_application_sees_an_asgi_request(autojump_clock):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)
        await answering()(scope, receive, send)

    async with open_network() as network:
        network.mount(f"{URL}/ignored", app)
        await get(network, "/a%2Fb/%C3%A9?q=1", method="PATCH")
    [scope] = seen
    assert scope["type"] == "http"
    assert scope["method"] == "PATCH"
    assert scope["path"] == "/a/b/é"
    assert scope["raw_path"] == b"/a%2Fb/%C3%A9"
    assert scope["query_string"] == b"q=1"
    assert scope["server"] == ("api.example", 443)
    assert (b"host", b"api.example") in scope["headers"]


async def test_hosts_are_told_apart_by_scheme_name_and_port(autojump_clock):
    async with open_network() as network:
        network.mount("http://127.0.0.1:81", answering(b"81"))
        network.mount("http://127.0.0.1:82", answering(b"82"))
        async with open_client(base_url="http://127.0.0.1:82") as client:
            assert (await client.request("GET", "/")).body == b"82"
        async with open_client(base_url="http://127.0.0.1") as client:
            with pytest.raises(TransportError, match="refused"):
                await client.request("GET", "/")


async def test_the_server_goes_on_after_its_client_was_cancelled(autojump_clock):
    stored = []

    async def app(scope, receive, send):
        await receive()
        await trio.sleep(5)
        stored.append(trio.current_time())
        await answering()(scope, receive, send)

    async with open_network() as network:
        network.mount(URL, app, latency=lambda: (1, 1))
        with trio.move_on_after(2):
            await get(network)
        assert stored == []
        await trio.sleep(10)
    assert stored == [6.0]


async def test_a_client_that_gives_up_while_the_request_travels_has_sent_it(autojump_clock):
    stored = []

    async def app(scope, receive, send):
        stored.append(trio.current_time())

    async with open_network() as network:
        network.mount(URL, app, latency=lambda: (100, 0))
        with pytest.raises(TransportError) as caught:
            await get(network, timeouts=Timeouts(total=1))
        assert caught.value.dispatched == "unknown"
        await trio.sleep(200)
    assert stored == [100.0]


@pytest.mark.parametrize("phase", ["connect", "write"])
async def test_a_client_that_gives_up_before_has_not(phase, autojump_clock):
    stored = []

    async def app(scope, receive, send):
        stored.append(trio.current_time())

    async with open_network() as network:
        network.mount(URL, app, **{phase: lambda: 5.0})
        with trio.move_on_after(1):
            await get(network)
        await trio.sleep(200)
    assert stored == []


async def test_the_application_hears_of_a_client_that_hung_up_if_it_asks(autojump_clock):
    heard = []

    async def app(scope, receive, send):
        await receive()
        heard.append((await receive(), trio.current_time()))

    async with open_network() as network:
        network.mount(URL, app)
        with trio.move_on_after(3):
            await get(network)
        await trio.sleep(1)
    assert heard == [({"type": "http.disconnect"}, 3.0)]


async def test_a_reset_ends_the_request_and_its_task(autojump_clock):
    ended = []

    async def app(scope, receive, send):
        await receive()
        try:
            scope["extensions"]["gateway.reset"]()
            await trio.sleep_forever()
        finally:
            ended.append(trio.current_time())

    async with open_network() as network:
        network.mount(URL, app, latency=lambda: (1, 2))
        with pytest.raises(TransportError, match="reset") as caught:
            await get(network)
    assert caught.value.dispatched == "unknown"
    assert ended == [1.0]
    assert trio.current_time() == 3.0


async def test_an_answer_without_end_is_cut_where_the_application_ends(autojump_clock):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})

    async with open_network() as network:
        network.mount(URL, app)
        with pytest.raises(UnreadableBody):
            await get(network)


async def test_silence_lasts_until_the_read_timeout_and_starts_anew_with_each_chunk(
    autojump_clock,
):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(3):
            await trio.sleep(4)
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await trio.sleep_forever()

    async with open_network() as network:
        network.mount(URL, app)
        with pytest.raises(UnreadableBody, match="ReadTimeout"):
            await get(network, timeouts=Timeouts(read=5, total=100))
    assert trio.current_time() == 17.0


async def test_without_timeouts_and_trace_a_transport_waits_forever(autojump_clock):
    async with open_network() as network:
        network.mount(URL, answering(), connect=lambda: 1e6)
        async with network.transport() as transport:
            response = await transport.handle_async_request(httpx2.Request("GET", f"{URL}/x"))
            assert await response.aread() == b"{}"
    assert trio.current_time() == 1e6


async def test_unmounting_refuses_new_connections_and_serves_what_is_on_its_way(autojump_clock):
    answers = []

    async def ask(network):
        answers.append((await get(network)).status)

    async with open_network() as network, trio.open_nursery() as nursery:
        network.mount(URL, answering(), latency=lambda: (5, 5))
        nursery.start_soon(ask, network)
        await trio.sleep(1)
        network.unmount(URL)
        network.unmount(URL)
        with pytest.raises(TransportError) as caught:
            await get(network)
        assert caught.value.dispatched == "no"
    assert answers == [200]


async def test_a_name_that_is_taken_away_does_not_resolve_until_it_is_mounted(autojump_clock):
    async with open_network() as network:
        network.mount(URL, answering())
        network.unname(URL)
        with pytest.raises(TransportError, match="name resolution") as caught:
            await get(network)
        assert caught.value.dispatched == "no"
        network.unmount(URL)
        with pytest.raises(TransportError, match="refused"):
            await get(network)
        network.mount(URL, answering())
        assert 200 == (await get(network)).status


async def test_an_application_that_fails_is_named_at_the_end(autojump_clock):
    async def app(scope, receive, send):
        raise LookupError("a mistake")

    with pytest.RaisesGroup(pytest.RaisesExc(LookupError, match="a mistake")):
        async with open_network() as network:
            network.mount(URL, app)
            with pytest.raises(TransportError):
                await get(network)
    async with open_network() as network:
        network.mount(URL, app)
        with pytest.raises(TransportError):
            await get(network)
        network.errors.clear()


async def test_what_leaves_the_block_is_not_wrapped():
    with pytest.raises(LookupError, match="mine"):
        async with open_network():
            raise LookupError("mine")
    with pytest.RaisesGroup(LookupError, OSError):
        async with open_network():
            raise ExceptionGroup("mine", [LookupError(), OSError()])


async def test_servers_end_with_the_network_and_sockets_are_back(autojump_clock):
    async with open_network() as network:
        network.mount(URL, answering(), latency=lambda: (math.inf, 0))
        with trio.move_on_after(1):
            await get(network)
        assert transport_factory.get() is not None
    assert transport_factory.get() is None
    assert trio.current_time() == 1.0
