"""`gateway outbox …` beside a running gateway, and without one."""

import json
import math
from contextlib import closing

import apsw
import pytest
import trio

from gateway_contrib.cli.app import main
from gateway_contrib.cli.outbox import changing
from gateway_contrib.durable.operators.asking import LOOK, answers_to
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.operators.operating import Operator
from gateway_core import CircuitSettings, ErrorClass, Limit, OutboxError, Reason, Send, Verdict
from gateway_core.testing import Failure, FakeChannel, open_test_gateway, virtual_wall

UNHURRIED = {"drain_timeout": 0.0, "attempt_timeout": 3600.0}
"""Attempts that hang for as long as a busy machine takes for a test, and none of them drained."""
UNAUTHORIZED = Verdict(
    error_class="fatal", reason="unauthorized", scope="instance", raw="its token"
)
REFUSED = Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.UNCLASSIFIED, raw="no")


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text(f'outbox = "sqlite://{tmp_path}/outbox.db"\n')
    return file


async def test_an_operator_looks_and_has_failed_ones_tried_again(config, gateway_command):
    async def refuse(attempt):
        raise Failure(REFUSED)

    channel, option = FakeChannel(script=refuse), ("--config", str(config))
    path = config.parent / "outbox.db"
    async with open_test_gateway(
        channel, outbox=SqliteOutbox(path, wall_clock=virtual_wall)
    ) as gateway:
        receipt = await gateway.send("bot", "room", "hello", raises=False)
        await trio.sleep(0.2)
        code, out, _ = await gateway_command("list", "--json", "--disposition", "rejected", *option)
        (row,) = json.loads(out)
        assert (0, receipt.envelope_id, "no") == (code, row["id"], row["raw"])
        code, out, _ = await gateway_command("show", receipt.envelope_id, *option)
        assert "hello" == json.loads(out)["envelope"]["text"]
        code, out, _ = await gateway_command("stats", *option)
        assert "rejected" in out
        assert "process" in out
        assert "unfinished: none\n" in out
        assert "ended: rejected 1\n" in out
        other = "a" * 30
        code, out, err = await gateway_command("retry", receipt.envelope_id, other, *option)
        assert (2, "", f"gateway: the outbox does not know {other}\n") == (code, out, err)
        channel.script = None
        code, out, err = await gateway_command("retry", "--room", "room", *option)
        assert (0, True, "") == (code, "goes on" in out, err)
        with trio.fail_after(60):
            while not (await gateway.status(receipt.envelope_id)).receipt:  # noqa: ASYNC110 - no event
                await trio.sleep(0.05)
        assert (await gateway.status(receipt.envelope_id)).receipt.delivered
    code, out, _ = await gateway_command("list", *option)
    assert (0, "") == (code, out)

    async def stats():
        return json.loads((await gateway_command("stats", "--json", *option))[1])

    code, out, _ = await gateway_command("erase", "--instance", "bot", "--room", "room", *option)
    assert "the next gateway that opens" in out
    async with open_test_gateway(channel, outbox=SqliteOutbox(path, wall_clock=virtual_wall)):
        with trio.fail_after(60):
            while (await stats())["asked"]:  # noqa: ASYNC110 - another process looks
                await trio.sleep(0.05)
    code, out, _ = await gateway_command("stats", "--json", *option)
    assert ({}, 0) == (json.loads(out)["ended"], json.loads(out)["asked"])


async def test_what_is_tried_again_keeps_its_order_in_its_room(config, gateway_command):
    async def refuse(attempt):
        raise Failure(REFUSED)

    channel, option = FakeChannel(script=refuse), ("--config", str(config))
    outbox = SqliteOutbox(config.parent / "outbox.db", wall_clock=virtual_wall)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        for text in ("one", "two", "three"):
            await gateway.send("bot", "room", text, raises=False)
        await outbox.flush()
        channel.script = None
        code, _, err = await gateway_command("retry", "--room", "room", *option)
        assert (0, "") == (code, err)
        with trio.fail_after(60):
            while len(channel.texts("room")) < 3:  # noqa: ASYNC110 - what is looked at has no event
                await trio.sleep(0.05)
    assert ["one", "two", "three"] == channel.texts("room")


def on_disk(path):
    """Every byte of the file and its log, as they are now."""
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


async def test_what_waits_is_listed_with_what_the_running_gateway_knows(
    config, often, gateway_command
):
    """Suspensions, circuits and limits are in its memory alone."""

    async def script(attempt):
        if attempt.room == "hangs":
            await trio.sleep_forever()
        if attempt.instance_id == "revoked":
            raise Failure(UNAUTHORIZED)

    def limits(room, _operation):
        return [Limit("narrow", 1, 3600.0)] if room == "narrow" else []

    channel = FakeChannel(script=script, limits=limits)
    channel.probe_error = Failure(UNAUTHORIZED)
    path, option = config.parent / "outbox.db", ("--config", str(config))
    names, outbox = ["bot", "held", "revoked"], SqliteOutbox(path, wall_clock=virtual_wall)
    async with open_test_gateway(channel, instances=names, outbox=outbox, **UNHURRIED) as gateway:
        for instance, room in (
            *(("bot", "hangs"), ("bot", "hangs"), ("bot", "narrow"), ("bot", "narrow")),
            *(("held", "room"), ("revoked", "room"), ("revoked", "room")),
        ):
            if instance == "held":
                gateway.suspend("held", "maintenance")
            await gateway.submit(Send(instance_id=instance, external_room_id=room, text="x"))
            await trio.sleep(0.05)
        expected = [
            *(("hangs", "attempt"), ("hangs", "queue"), ("narrow", "account limit")),
            *(("room", "suspension"), ("room", "suspension"), ("room", "suspension")),
        ]
        found = None
        with trio.move_on_after(60):
            while found != expected:
                await outbox.flush()
                code, out, err = await gateway_command("list", "--waiting", "--json", *option)
                assert (0, "") == (code, err)
                found = [(row["room"], row["cause"]) for row in json.loads(out)]
        assert expected == found
        code, out, _ = await gateway_command("list", "--waiting", "--instance", "held", *option)
        assert (0, 1, True) == (code, out.count("\n"), "suspension" in out)
        code, out, err = await gateway_command("stats", "--json", *option)
        assert (0, "") == (code, err)
        assert {
            "held": "suspension (suspended: maintenance)",
            "revoked": "suspension (unauthorized: its token)",
        } == json.loads(out)["trouble"]
        code, out, _ = await gateway_command("stats", *option)
        assert "trouble: held suspension (suspended: maintenance), revoked suspension (" in out
        with Operator(path) as operator:
            assert 0 == operator.stats()["asked"]
            assert 0 == operator._db.execute("SELECT count(*) FROM requests").get
        await gateway.remove_instance("held")
        _, out, _ = await gateway_command("list", "--waiting", "--instance", "held", *option)
        assert "no instance" in out


async def test_stats_say_what_opened_a_circuit(config, often, gateway_command):
    down = Verdict(error_class="retryable", reason="unreachable", scope="instance", raw="refused")

    async def fail(_):
        raise Failure(down)

    channel, outbox = FakeChannel(script=fail), SqliteOutbox(config.parent / "outbox.db")
    channel.probe_error = Failure(down)
    settings = UNHURRIED | {"circuit": CircuitSettings(window=2)}
    async with open_test_gateway(channel, outbox=outbox, **settings) as gateway:
        for room in ("one", "two"):
            await gateway.enqueue("bot", room, "x")
        with trio.fail_after(60):
            while not gateway.statistics().instances[0].circuit_open:  # noqa: ASYNC110 - no event
                await trio.sleep(0.05)
        _, out, _ = await gateway_command("stats", "--json", "--config", str(config))
    assert {"bot": "circuit (unreachable: refused)"} == json.loads(out)["trouble"]


async def test_an_operator_discards_what_waits_and_what_failed(config, often, gateway_command):
    """An unfinished one ends `cancelled`; a failed one is no longer listed."""

    async def script(attempt):
        if attempt.part.payload["text"] == "bad":
            raise Failure(REFUSED)
        await trio.sleep_forever()

    channel, option = FakeChannel(script=script), ("--config", str(config))
    outbox = SqliteOutbox(config.parent / "outbox.db", wall_clock=virtual_wall)
    async with open_test_gateway(channel, outbox=outbox, **UNHURRIED) as gateway:
        failed = await gateway.send("bot", "other", "bad", raises=False)
        first, second = [
            await gateway.submit(Send(instance_id="bot", external_room_id="room", text=text))
            for text in ("first", "second")
        ]
        await outbox.flush()
        names = (failed.envelope_id, first.id, second.id)
        code, out, err = await gateway_command("discard", *names, *option)
        assert (1, "gateway: nothing was done for 1 of 3\n") == (code, err)
        assert f"{first.id}: an attempt is under way: the envelope continues" in out
        assert f"{failed.envelope_id}: discarded" in out
        with trio.fail_after(10):
            assert "cancelled" == (await second.receipt()).disposition
        assert not first.ended
        code, out, _ = await gateway_command("list", *option)
        assert (0, "") == (code, out)
        code, out, _ = await gateway_command("list", "--waiting", *option)
        assert [first.id] == [line.split()[0] for line in out.splitlines()]


async def test_an_operator_sees_and_discards_what_cannot_be_read(config, often, gateway_command):
    """The row of one envelope is damaged; the others are listed, and sent."""
    option, path = ("--config", str(config)), config.parent / "outbox.db"
    outbox = SqliteOutbox(path, wall_clock=virtual_wall)
    async with open_test_gateway(FakeChannel(), outbox=outbox, drain_timeout=0) as gateway:
        gateway.suspend("bot")
        names = [(await gateway.enqueue("bot", f"room{n}", "text", ttl=1e6)).id for n in range(3)]
    with closing(apsw.Connection(str(path))) as database:
        sql = "UPDATE envelopes SET entry = CAST(? AS TEXT) WHERE id = ?"
        database.execute(sql, (b"[\xff\x80]", names[1]))
    code, out, _ = await gateway_command("list", "--waiting", *option)
    assert (0, names) == (code, [line.split()[0] for line in out.splitlines()])
    code, out, _ = await gateway_command("show", names[1], *option)
    assert (0, None, ["entry"]) == (
        code, json.loads(out)["envelope"], [*json.loads(out)["unreadable"]]
    )  # fmt: skip
    channel, outbox = FakeChannel(), SqliteOutbox(path, wall_clock=virtual_wall)
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=0) as gateway:
        code, out, err = await gateway_command("discard", names[1], *option)
        assert (0, f"{names[1]}: discarded\n", "") == (code, out, err)
        gateway.resume("bot")
        with trio.fail_after(20):
            while len(channel.made) < 2:  # noqa: ASYNC110 - what is looked at has no event
                await trio.sleep(0.01)
    async with open_test_gateway(outbox=SqliteOutbox(path, wall_clock=virtual_wall)) as gateway:
        assert 0 == gateway.statistics().stored
    assert {"room0", "room2"} == {made.attempt.room for made in channel.made}


async def test_an_operator_discards_by_filters(config, often, gateway_command):
    """What failed, or with `--waiting` what has not begun; nothing where nothing is named."""

    async def script(attempt):
        if attempt.part.payload["text"] == "bad":
            raise Failure(REFUSED)
        await trio.sleep_forever()

    channel, option = FakeChannel(script=script), ("--config", str(config))
    outbox = SqliteOutbox(config.parent / "outbox.db", wall_clock=virtual_wall)
    async with open_test_gateway(channel, outbox=outbox, **UNHURRIED) as gateway:
        for room in ("other", "room"):
            await gateway.send("bot", room, "bad", raises=False)
        tickets = [
            await gateway.submit(Send(instance_id="bot", external_room_id=room, text=text))
            for room in ("other", "room")
            for text in ("first", "second")
        ]
        await outbox.flush()
        code, out, err = await gateway_command("discard", *option)
        assert ("", True) == (out, "name envelopes, or give a filter" in err)
        code, out, err = await gateway_command("discard", "--room", "room", *option)
        assert (0, "", 1) == (code, err, len(out.splitlines()))
        code, out, _ = await gateway_command("list", *option)
        assert ["other"] == [line.split()[2] for line in out.splitlines()]
        code, out, err = await gateway_command("discard", "--waiting", "--room", "room", *option)
        assert (0, "", 2) == (code, err, len(out.splitlines()))
        with trio.fail_after(10):
            assert "cancelled" == (await tickets[3].receipt()).disposition
        assert [False, False, False] == [ticket.ended for ticket in tickets[:3]]


async def test_an_operator_erases_a_room_beside_a_running_gateway(config, gateway_command):
    """It says what was in flight; not a byte of the rest is in the file, nor in its log."""

    async def script(attempt):
        if attempt.part.payload["text"] == "SECRETTEXT flying":
            await trio.sleep_forever()

    channel, option = FakeChannel(script=script), ("--config", str(config))
    path = config.parent / "outbox.db"
    outbox = SqliteOutbox(path, wall_clock=virtual_wall)
    async with open_test_gateway(channel, outbox=outbox, **UNHURRIED) as gateway:
        await gateway.send("bot", "SECRETROOM", "SECRETTEXT sent", key="SECRETKEY")
        for text in ("SECRETTEXT flying", "SECRETTEXT queued"):
            ticket = await gateway.submit(
                Send(instance_id="bot", external_room_id="SECRETROOM", text=text)
            )
        await outbox.flush()
        assert b"SECRETTEXT" in on_disk(path)
        place = ("--instance", "bot", "--room", "SECRETROOM")
        code, out, err = await gateway_command("erase", *place, *option)
        assert (0, "", True) == (code, err, "1 in flight" in out)
        assert "cancelled" == (await ticket.receipt()).disposition
        await outbox.flush()
        content = on_disk(path)
        assert not [
            word for word in (b"SECRETTEXT", b"SECRETKEY", b"SECRETROOM") if word in content
        ]


async def test_stats_say_that_the_outbox_refuses_messages(config, gateway_command):
    """Its file was taken away for a while, and is there again: the gateway must be restarted."""
    path, option = config.parent / "outbox.db", ("--config", str(config))
    away = path.with_name("away.db")
    outbox = SqliteOutbox(path, wall_clock=virtual_wall)
    async with open_test_gateway(FakeChannel(), outbox=outbox) as gateway:
        assert "trouble: none\n" in (await gateway_command("stats", *option))[1]
        path.rename(away)
        with trio.fail_after(60):
            while True:
                try:
                    await gateway.send("bot", "room", "text")
                except OutboxError:
                    break
                await trio.sleep(0.05)
        away.rename(path)
        code, out, err = await gateway_command("stats", *option)
        assert (0, "") == (code, err)
        assert f"trouble: the outbox takes no more: {path} was taken away while it was in" in out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "names no outbox"),
        ('outbox = "sqlte:///x"', "gateway.toml: outbox: no plugin opens outboxes of scheme"),
        ('outbox = "sqlite:///tmp"', "gateway.toml: outbox: 'sqlite:///tmp': is a folder"),
        ("outbox = ", "gateway.toml"),
        ('outbox = "sqlite:///nowhere/outbox.db"', "there is no outbox"),
    ],
)
def test_what_is_wrong_is_one_line(config, capsys, content, words):
    config.write_text(content)
    assert 2 == main(["outbox", "list", "--config", str(config)])
    assert words in capsys.readouterr().err


def test_a_backup_says_what_is_wrong_with_the_outbox_too(config, capsys, tmp_path):
    config.write_text('outbox = "sqlite:///tmp"')
    command = ["outbox", "backup", str(tmp_path / "copy"), "--config", str(config)]
    assert 2 == main(command)
    assert "'sqlite:///tmp': is a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--waiting", "--disposition", "rejected"), "cannot be combined"),
        (("018bcfe56800000000d6b5a7d524a9", "--room", "room"), "not both"),
    ],
)
def test_filters_that_would_be_passed_over_are_refused(config, capsys, words, said):
    """`discard --waiting --disposition rejected` would end all that waits."""
    trio.run(_made, config.parent / "outbox.db")
    assert 2 == main(["outbox", "discard", *words, "--config", str(config)])
    found = capsys.readouterr()
    assert ("", True) == (found.out, said in found.err)
    with Operator(config.parent / "outbox.db") as operator:
        assert 0 == operator.stats()["asked"]


async def _made(path):
    async with SqliteOutbox(path):
        pass


async def test_the_oldest_are_tried_again_first_where_not_all_are(
    config, capsys, autojump_clock, gateway_command
):
    """Else what is asked for next would stand behind what was accepted after it."""

    async def refuse(attempt):
        raise Failure(REFUSED)

    path = config.parent / "outbox.db"
    outbox = SqliteOutbox(path, SqliteSettings(in_thread=False), wall_clock=virtual_wall)
    async with open_test_gateway(FakeChannel(script=refuse), outbox=outbox) as gateway:
        for n in range(5):
            await gateway.send("bot", "room", str(n), raises=False)
    option = ("--config", str(config))
    code, out, _ = await gateway_command("retry", "--room", "room", "--limit", "2", *option)
    assert (0, True, True) == (code, "the oldest 2" in out, "2 requested" in out)
    channel = FakeChannel()
    outbox = SqliteOutbox(path, SqliteSettings(in_thread=False), wall_clock=virtual_wall)
    async with open_test_gateway(channel, outbox=outbox):
        await trio.sleep(5)
    assert ["0", "1"] == channel.texts("room")
    code, out, _ = await gateway_command("retry", "--room", "elsewhere", *option)
    assert (0, "nothing matc") == (code, out[:12])


SECOND_FAILS = """CREATE TRIGGER second_fails BEFORE UPDATE ON requests WHEN new.number = 2
    BEGIN SELECT RAISE(ABORT, 'no room'); END"""


async def test_what_was_asked_before_something_failed_is_done_and_the_rest_later(
    config, autojump_clock
):
    """A disk that fills between two requests loses none, and nobody has to ask again."""

    async def refuse(attempt):
        raise Failure(REFUSED)

    channel, path = FakeChannel(script=refuse), config.parent / "outbox.db"
    outbox = SqliteOutbox(path, SqliteSettings(in_thread=False), wall_clock=virtual_wall)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        ids = [
            (await gateway.send("bot", f"room{n}", str(n), raises=False)).envelope_id
            for n in range(3)
        ]
        await trio.sleep(1)
        channel.script = None
        with Operator(path) as operator:
            outbox._writer._db.execute(SECOND_FAILS)
            numbers = [operator.ask("retry", 0.0, envelope_id=name) for name in ids]
            await trio.sleep(5)
            assert ["goes on", None, None] == [operator.answer(number) for number in numbers]
            assert [True, False, False] == [
                (await gateway.status(name)).receipt.delivered for name in ids
            ]
            outbox._writer._db.execute("DROP TRIGGER second_fails")
            await trio.sleep(5)
            assert ["goes on"] * 3 == [operator.answer(number) for number in numbers]
        assert [["0"], ["1"], ["2"]] == [channel.texts(f"room{n}") for n in range(3)]
        assert gateway.statistics().unfinished == 0


NO_ERASURE = """CREATE TRIGGER no_erasure BEFORE DELETE ON history
    BEGIN SELECT RAISE(ABORT, 'no room'); END"""


async def test_an_erasure_that_the_disk_refuses_keeps_no_room_waiting(config, autojump_clock):
    """It is done once it can be; meanwhile what is outside memory comes in."""
    channel, path = FakeChannel(latency=1.0), config.parent / "outbox.db"
    outbox = SqliteOutbox(path, SqliteSettings(in_thread=False), wall_clock=virtual_wall)
    async with open_test_gateway(channel, outbox=outbox, room_bound=2) as gateway:
        await gateway.send("bot", "gone", "x")
        for n in range(9):
            await gateway.submit(Send(instance_id="bot", external_room_id="room", text=str(n)))
        with Operator(path) as operator:
            outbox._writer._db.execute(NO_ERASURE)
            number = operator.ask("erase", 0.0, place=("bot", "gone"))
            await trio.sleep(30)
            assert [str(n) for n in range(9)] == channel.texts("room")
            assert operator.answer(number) is None
            outbox._writer._db.execute("DROP TRIGGER no_erasure")
            await trio.sleep(5)
            assert operator.answer(number) == "1 rows erased, 0 in flight"


async def test_an_owner_that_goes_before_it_answers_is_not_waited_for(capsys):
    class Leaving:
        """Has the outbox at first, and answers one of two."""

        def __init__(self):
            self.looks = iter(["process 7 on vm"])

        @property
        def owner(self):
            return next(self.looks, None)

        def answer(self, number):
            return "goes on" if number == 1 else None

    with trio.fail_after(changing.PATIENCE / 2):
        await changing._answers(Leaving(), {"one": 1, "two": 2})
    expected = "one: goes on\n1 requested: the next gateway that opens the outbox does it\n"
    assert expected == capsys.readouterr().out


class Owner:
    """Answers each request after so many looks at its file; `stays` for so many."""

    def __init__(self, after, stays=math.inf):
        self.looks, self.after, self.stays = 0, after, stays

    @property
    def owner(self):
        self.looks += 1
        return "process 7 on vm" if self.looks <= self.stays else None

    def answer(self, number):
        return f"done {number}" if self.looks >= self.after[number] else None


async def test_each_answer_is_heard_as_it_comes(autojump_clock):
    heard = []
    owner = Owner({1: 3, 2: 1, 3: 5})
    answers = await answers_to(owner, [1, 2, 3], heard=lambda *said: heard.append(said))
    assert [(2, "done 2"), (1, "done 1"), (3, "done 3")] == heard == list(answers.items())
    assert 4 * LOOK == pytest.approx(trio.current_time())


async def test_an_owner_that_goes_has_answered_before(autojump_clock):
    """Its answer may have come between the look for it and the look at whether it is there."""
    assert {1: "done 1"} == await answers_to(Owner({1: 3, 2: 4}, stays=2), [1, 2])
    assert 2 * LOOK == pytest.approx(trio.current_time())


async def test_nobody_waits_longer_than_patience(autojump_clock):
    assert {2: "done 2"} == await answers_to(Owner({1: 999, 2: 2}), [1, 2], patience=7.0)
    assert 7.0 == pytest.approx(trio.current_time())
