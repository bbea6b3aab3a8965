"""Each mistake that people made in a configuration: where it is, and what its sentence says."""

from __future__ import annotations

import math
import pickle
import re

import attrs
import pytest

from gateway_contrib.otel.settings import OtelSettings
from gateway_contrib.sqlite.settings import SqliteSettings
from gateway_core import (
    ConfigError,
    GatewayConfig,
    HookContractError,
    Instance,
    Invalid,
    KeyRef,
    PluginError,
    RetrySettings,
    Secret,
    Send,
    load_config,
    open_gateway,
    parse_config,
    preview,
)
from gateway_core.authors import hookimpl
from gateway_core.contract.instances import hidden
from gateway_core.testing import FakeChannel, FakeSettings, open_test_gateway
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_discord.settings import RoomLimits as DiscordRoom
from gateway_plugin_slack.settings import RoomLimits as SlackRoom
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram.settings import TelegramSettings

TELEGRAM = "1234567:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
SLACK = "xoxb-1234567890-test"
DISCORD = "MTIzNDU2Nzg5MDEyMzQ1Njc4.test.token"
TOKENS = {"telegram": TELEGRAM, "slack": SLACK, "discord": DISCORD}


def one(channel: str, **fields: object) -> dict[str, object]:
    return {"instances": {"bot": {"channel": channel, "token": TOKENS[channel], **fields}}}


def rotating(**fields: object) -> dict[str, object]:
    """An account on Slack whose tokens are exchanged."""
    means = {"refresh_token": "xoxe-1-test", "client_id": "1.2", "client_secret": "shh"}
    return one("slack", **(means | fields))


def twins(channel: str, **fields: object) -> dict[str, object]:
    table = {"channel": channel, "token": TOKENS[channel]}
    return {"instances": {"bot": table, "twin": {**table, **fields}}}


ACCEPTED_AND_CRASHED = (
    (one("slack", post_seconds=math.inf), "bot.post_seconds", "at most 1e+09, not inf"),
    (one("slack", post_seconds=1e300), "bot.post_seconds", "must be a number at least 0.001"),
    (one("telegram", chat_seconds=math.inf), "bot.chat_seconds", "at most 1e+09, not inf"),
    (one("discord", message_per=1e300), "bot.message_per", "at most 1e+09, not 1e+300"),
    (one("slack", post_count=1.5), "bot.post_count", "must be a whole number, not 1.5"),
    (one("slack", post_count=10**9), "bot.post_count", "a whole number from 1 to 100000, not"),
    ({"retries": {"base": 1e300}}, "retries.base", "above 0 and at most 1e+09, not 1e+300"),
)

ACCEPTED_AND_WRONG = (
    (
        one("slack", refresh_token="xoxe-1"),
        "bot.client_secret",
        "must be given together with `refresh_token` and `client_id`",
    ),
    (
        one("slack", token_file="tokens.json"),
        "bot.token_file",
        "must be given together with `refresh_token`: `refresh_token` is missing",
    ),
    (
        rotating(token_file="/nowhere/tokens.json"),
        "bot.token_file",
        "must be in a folder that exists, not /nowhere/tokens.json",
    ),
    (rotating(token_file="/"), "bot.token_file", "must be a file, not the folder /"),
    (rotating(token_file=""), "bot.token_file", "must be a path, not ''"),
    (rotating(token_file=3), "bot.token_file", "must be a path, not 3"),
    (
        one("slack", token="xoxe-1-abc"),
        "bot.token",
        "must be a Slack token, which begins with xoxb-, xoxp- or xoxe.",
    ),
    (one("slack", token="xoxb"), "bot.token", "must be a Slack token, which begins with xoxb-,"),
    (one("discord", max_length=5000), "bot.max_length", "from 100 to 2000, not 5000"),
    (
        one("slack", timeout=90),
        "bot.timeout",
        "must be below the gateway's `attempt_timeout`, which is 90.0, not 90.0",
    ),
    (
        {**one("discord", total_timeout=45), "attempt_timeout": 30},
        "bot.total_timeout",
        "must be below the gateway's `attempt_timeout`, which is 30.0, not 45.0",
    ),
    (
        one("telegram", read_timeout=70),
        "bot.total_timeout",
        "must be above `read_timeout`, which is 70.0, not 60.0",
    ),
    (
        {"retries": {"base": 5, "cap": 1}},
        "retries.cap",
        "must be at least `base`, which is 5.0, not 1.0",
    ),
    (
        {"circuit": {"probe_base": 5, "probe_cap": 1}},
        "circuit.probe_cap",
        "must be at least `probe_base`, which is 5.0, not 1.0",
    ),
    (
        {"retries": {"attempts": 2, "max_ambiguous": 3}},
        "retries.max_ambiguous",
        "must be at most `attempts`, which is 2, not 3",
    ),
    (
        {"telemetry": {"export": {"queue": 10, "batch": 20}}},
        "telemetry.export.batch",
        "must be at most `queue`, which is 10, not 20",
    ),
    (
        {"plugins": {"deny": ["slak"]}},
        "plugins.deny",
        "no plugin is called 'slak'; did you mean 'slack'?",
    ),
    ({"plugins": {"allow": ["pigeon"]}}, "plugins.allow", "no plugin is called 'pigeon'"),
    ({"plugins": {"deny": "slack"}}, "plugins.deny", "must be a list"),
    (
        twins("discord"),
        "twin.token",
        "is also the account of instance 'bot': configure each account once",
    ),
    (
        one("telegram", rooms={"general": {}}),
        "bot.rooms",
        "must have chats' numbers or @names as keys, not 'general'",
    ),
    (one("slack", rooms={"general": {}}), "bot.rooms", "ids of conversations or #names as keys"),
    (one("discord", rooms={"#general": {}}), "bot.rooms", "channels' ids, whole numbers as keys"),
    (one("slack", token="123:abc"), "bot.token", "must be a Slack token, which begins with xoxb-"),
    ({"outbox": "sqlite:relative.db"}, "outbox", "names no file: write sqlite:///path/to/file"),
    ({"outbox": "sqlite:///usr"}, "outbox", "is a folder, not a file"),
    (
        {"telemetry": {"export": {"resource": {"a": {"b": 1}}}}},
        "telemetry.export.resource",
        "must be a table of texts, numbers, truth values, and lists of one of these, not {'a'",
    ),
    (
        {"telemetry": {"export": {"resource": {"a": [1, "x"]}}}},
        "telemetry.export.resource",
        "must be a table of texts, numbers, truth values, and lists of one of these, not {'a'",
    ),
    ({"outbox": "sqlite:///a#b.db"}, "outbox", "'#' would end the path: write %23"),
)

TOLD_UNCLEARLY = (
    (one("slack", part_bytes=50), "bot.part_bytes", "a whole number from 100 to 4000, not 50"),
    (
        one("discord", user_agent_url="no url"),
        "bot.user_agent_url",
        "must be a URL without white space and parentheses, not 'no url'",
    ),
    (
        one("discord", token="Bot abc"),
        "bot.token",
        "must be the bot's token alone, without the word `Bot` before it; it has white space",
    ),
    (one("slack", token=f"{SLACK}\n"), "bot.token", "it ends in white space or a line break"),
    (one("telegram", token=f"\ufeff{TELEGRAM}"), "bot.token", "it has a byte order mark"),
    *(
        (one(channel, token=f"{token}ü"), "bot.token", "a character that is not printable ASCII")
        for channel, token in TOKENS.items()
    ),
    (one("slack", token=f"{SLACK}\x07"), "bot.token", "a character that is not printable ASCII"),
    (
        one("slack", partition_count=4),
        "bot.partition_count",
        "is not a setting of this table: it belongs above the first table of the file",
    ),
    (
        one("slack", outbox="sqlite:///x.db"),
        "bot.outbox",
        "is not a setting of this table: it belongs above the first table of the file",
    ),
    (
        {"telemetry": {"export": {"outbox": "sqlite:///x.db"}}},
        "telemetry.export.outbox",
        "it belongs above the first table of the file",
    ),
    (
        {"ttl": {"attempts": 3}},
        "ttl.attempts",
        "is not a setting of this table: it belongs in the table `retries`",
    ),
    (one("slack", base_url="https://a:b"), "bot.base_url", "must be a URL: Port could not be"),
    (one("slack", base_url="http://slack.com"), "bot.base_url", "must be https, or http to"),
    ({"ttl": {"low": 1}}, "ttl.low", "the settings here are urgent, normal, bulk"),
    ({"bot": one("slack")["instances"]["bot"]}, "bot", "account's table is [instances.bot]"),
    (
        {"instances": {"channel": "slack", "token": SLACK}},
        "instances",
        "write [instances.NAME]",
    ),
    (
        {"instances": {"acme": one("slack")["instances"]}},
        "acme.channel",
        'put a name that has a dot in quotes: [instances."acme.bot"]',
    ),
    ({"plugins": {"allow": 5}}, "plugins.allow", "must be a list, not 5"),
    ({"partition_count": 10**5000}, "partition_count", "from 1 to 1000, not a number too large"),
    ({"attempt_timeout": 10**400}, "attempt_timeout", "must be a number, not a number too large"),
)


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [*ACCEPTED_AND_CRASHED, *ACCEPTED_AND_WRONG, *TOLD_UNCLEARLY],
    ids=lambda value: str(value)[:50] if isinstance(value, str) else "",
)
def test_a_mistake_is_told_by_its_place_in_one_sentence(content, place, words):
    with pytest.raises(ConfigError) as caught:
        parse_config(content, environ={})
    (problem,) = caught.value.problems
    assert problem.place in (place, f"instances.{place}")
    assert words in problem.text
    assert not any(token in str(problem) for token in TOKENS.values())


def test_all_of_these_are_told_at_once():
    """Each in an instance of its own, or in the gateway's own tables."""
    instances = {}
    expected = set()
    for number, (content, place, _) in enumerate(
        (*ACCEPTED_AND_CRASHED, *ACCEPTED_AND_WRONG, *TOLD_UNCLEARLY)
    ):
        tables = content.get("instances", {})
        if len(content) == 1 and len(tables) == 1:
            (table,) = tables.values()
            instances[f"bot{number}"] = {**table, "base_url": f"http://127.0.0.1:{8000 + number}"}
            instances[f"bot{number}"].update(table)
            expected.add(f"instances.bot{number}.{place.partition('.')[2]}")
    content = {"instances": instances, "retries": {"base": 5, "cap": 1, "attempts": 0}}
    content |= {"plugins": {"deny": ["slak"]}, "outbox": "sqlite:x", "colour": 1}
    content |= {"telemetry": {"export": {"queue": 0, "ink": 1}}}
    expected |= {"retries.cap", "retries.attempts", "plugins.deny", "outbox", "colour"}
    expected |= {"telemetry.export.queue", "telemetry.export.ink"}
    with pytest.raises(ConfigError) as caught:
        parse_config(content, environ={})
    places = {problem.place for problem in caught.value.problems}
    # Instances that share a token are told as well, which is another mistake.
    assert expected == {place for place in places if place in expected or "bot" not in place}


def test_relations_hold_in_defaults_too():
    assert 1 == RetrySettings(attempts=1).max_ambiguous
    assert 2 == RetrySettings().max_ambiguous
    with pytest.raises(ValueError, match=r"'cap' must be at least `base`, which is 90, not 60\.0"):
        RetrySettings(base=90)


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        (SlackSettings, {"token": "xoxb-1"}, "'token' must be a Secret, not str"),
        (
            SlackSettings,
            {"token": Secret(SLACK), "rooms": {"C024BE91L": {"post_count": 2}}},
            "'rooms' must be of the class RoomLimits for 'C024BE91L', not {'post_count': 2}",
        ),
        (
            DiscordSettings,
            {"token": Secret(DISCORD), "rooms": {"1": SlackRoom()}},
            "'rooms' must be of the class RoomLimits for '1', not RoomLimits(",
        ),
        (SlackRoom, {"post_count": 1.5}, "'post_count' must be a whole number from 1 to 100000"),
        (DiscordRoom, {"message_per": math.inf}, "'message_per' must be a number at least 0.001"),
        (type(GatewayConfig().plugins), {"deny": "slack"}, "'deny' must be a list of names"),
    ],
)
def test_a_mistake_in_code_names_the_setting(kind, fields, words):
    with pytest.raises(ValueError, match="must") as caught:
        kind(**fields)
    assert words in str(caught.value)


IN_CODE = [
    (
        SlackSettings,
        {"token": "xoxb-1", "post_count": 1.5, "tier_2": 0, "proxy": "x", "timeout": 60},
        ("'proxy' must", "'token' must", "'post_count' must", "'tier_2' must"),
    ),
    (
        TelegramSettings,
        {"token": Secret("x"), "ca_file": "/nowhere.pem", "read_timeout": 90, "total_timeout": 60},
        ("'ca_file' must", "'token' must", "'total_timeout' must be above `read_timeout`"),
    ),
    (
        DiscordSettings,
        {"token": Secret("Bot x"), "rooms": 3},
        ("'token' must", "'rooms' must"),
    ),
    (DiscordRoom, {"message_count": 0, "message_per": 0}, ("'message_count'", "'message_per'")),
    (GatewayConfig, {"shed": 1, "ttl": 60, "outbox": 1}, ("'shed'", "'ttl'", "'outbox'")),
    (RetrySettings, {"base": 90, "attempts": 0}, ("'attempts'", "'cap' must be at least `base`")),
    (type(GatewayConfig().plugins), {"allow": "x", "deny": 1}, ("'allow'", "'deny'")),
    (SqliteSettings, {"owner_wait": -1, "queue": 0}, ("'owner_wait'", "'queue'")),
    (OtelSettings, {"queue": 0, "otlp": "x", "sampling": 2}, ("'queue'", "'otlp'", "'sampling'")),
]


@pytest.mark.parametrize(("kind", "fields", "begins"), IN_CODE, ids=lambda value: str(value)[:30])
def test_several_mistakes_in_code_are_told_at_once(kind, fields, begins):
    with pytest.raises(ValueError, match="must") as caught:
        kind(**fields)
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):  # noqa: S301 - its own
        told = re.split("; (?=')", str(error))
        assert len(begins) == len(told)
        assert all(sum(each.startswith(begin) for each in told) == 1 for begin in begins), told


def test_what_gives_its_values_but_once_is_not_used_up():
    bot = Instance("bot", "slack", SlackSettings(token=Secret(SLACK)))
    assert (bot,) == GatewayConfig(instances=iter([bot])).instances


def test_two_instances_of_one_name_are_a_mistake_in_code():
    twins = [Instance("a", "slack", SlackSettings(token=Secret(f"xoxb-{n}"))) for n in range(2)]
    with pytest.raises(ConfigError, match=r"^instances\.a: is configured twice$"):
        GatewayConfig(instances=twins)


def test_instances_in_code_are_looked_at_together():
    settings = TelegramSettings(token=Secret(TELEGRAM))
    both = [Instance("a", "telegram", settings), Instance("b", "telegram", settings)]
    with pytest.raises(ConfigError, match=r"instances\.b\.token: is also the account of"):
        GatewayConfig(instances=both)
    for url in ("https://api.telegram.org/", "https://API.telegram.org:443"):
        alike = attrs.evolve(settings, base_url=url)
        with pytest.raises(ConfigError, match=r"instances\.b\.token: is also the account of"):
            GatewayConfig(instances=[both[0], Instance("b", "telegram", alike)])
    elsewhere = attrs.evolve(settings, base_url="http://127.0.0.1:8081")
    GatewayConfig(instances=[both[0], Instance("b", "telegram", elsewhere)])
    GatewayConfig(instances=both[:1], attempt_timeout=50)
    slow = Instance("a", "telegram", attrs.evolve(settings, total_timeout=90))
    with pytest.raises(ConfigError, match=r"a\.total_timeout: must be below the gateway's `att"):
        GatewayConfig(instances=[slow])


async def test_an_instance_at_run_time_is_below_the_gateway_s_timeout(autojump_clock):
    slow = Instance("bot", "slack", SlackSettings(token=Secret(SLACK), timeout=120))
    async with open_gateway(GatewayConfig()) as gateway:
        with pytest.raises(ConfigError, match=r"bot\.timeout: must be below the gateway's"):
            gateway.add_instance(slow)
        gateway.add_instance(attrs.evolve(slow, settings=attrs.evolve(slow.settings, timeout=60)))
        with pytest.raises(ConfigError, match=r"bot\.timeout: must be below the gateway's"):
            gateway.replace_instance(slow)


async def test_names_of_plugins_are_known_in_code_too():
    Filter = type(GatewayConfig().plugins)  # noqa: N806 - a class
    with pytest.raises(ConfigError, match=r"plugins\.deny: no plugin is called 'slak'"):
        async with open_gateway(GatewayConfig(plugins=Filter(deny=["slak"]))):
            pass


# -- files


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# nothing\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_a_mistake(content, tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"is empty: it has neither a setting nor an instance"):
        load_config(file)


def test_what_stands_there_twice_is_said(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text("shed = true\nshed = true\n")
    with pytest.raises(ConfigError, match=r"a setting is given twice \(at line 2"):
        load_config(file)


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_bytes(b"\xef\xbb\xbfpartition_count = 2\n")
    assert 2 == load_config(file).partition_count
    (tmp_path / "token").write_bytes(b"\xef\xbb\xbf" + SLACK.encode() + b"\r\n")
    config = parse_config(one("slack", token={"file": "token"}), folder=tmp_path)
    assert SLACK == config.instances[0].settings.token.reveal()


@pytest.mark.parametrize("name", ["tokens.json", "{there}/tokens.json"])
def test_every_path_is_relative_to_the_file(name, tmp_path, monkeypatch):
    """Wherever the process was started."""
    (tmp_path / "refresh").write_text("xoxe-1-test")
    table = rotating(token_file=name.format(there=tmp_path), refresh_token={"file": "refresh"})
    monkeypatch.chdir("/")
    (bot,) = parse_config(table, folder=tmp_path).instances
    assert tmp_path / "tokens.json" == bot.settings.tokens.file


def test_no_file_is_read_without_a_bound():
    with pytest.raises(ConfigError, match="it has more than 65536 bytes"):
        parse_config(one("slack", token={"file": "/dev/zero"}))
    with pytest.raises(ConfigError, match="it has more than 16777216 bytes"):
        load_config("/dev/zero")


@pytest.mark.parametrize("where", ["env", "file"])
@pytest.mark.parametrize("token", [*TOKENS.values(), "c0ffee00c0ffee00c0ffee00c0ffee00"])
def test_a_secret_in_the_place_of_its_name_is_not_printed(where, token):
    with pytest.raises(ConfigError) as caught:
        parse_config(one("slack", token={where: token}), environ={})
    (problem,) = caught.value.problems
    assert "instances.bot.token" == problem.place
    assert "not shown" in problem.text
    assert token not in str(caught.value)


# -- calls


async def test_what_partition_by_answers_is_looked_at(autojump_clock):
    for answer in ("x", None, 1.5, True, []):
        async with open_test_gateway(partition_by=lambda _i, _r, answer=answer: answer) as gateway:
            with pytest.raises(HookContractError, match=r"partition_by: answered with .*whole num"):
                await gateway.send("bot", "room", "hello")

    def broken(_instance: str, room: str) -> int:
        return {}[room]

    async with open_test_gateway(partition_by=broken) as gateway:
        with pytest.raises(HookContractError, match="hook partition_by: raised KeyError: 'room'"):
            await gateway.send("bot", "room", "hello")


async def test_settings_of_another_channel_are_not_blamed_on_the_plugin(autojump_clock):
    stranger = Instance("bot", "slack", TelegramSettings(token=Secret(TELEGRAM)))
    words = r"bot\.settings: settings must be gateway_plugin_slack\.settings\.Settings, not Tele"
    with pytest.raises(ConfigError, match=words):
        preview(stranger, Send(instance_id="bot", external_room_id="C1234", text="hello"))
    async with open_gateway(GatewayConfig(instances=[stranger])) as gateway:
        with pytest.raises(ConfigError, match=words):
            gateway.preview(Send(instance_id="bot", external_room_id="C1234", text="hello"))


async def test_calls_with_values_of_another_kind_are_refused_by_name(autojump_clock):
    async with open_test_gateway() as gateway:
        listed = Send(instance_id="bot", external_room_id=["room"], text="hello")
        (problem,) = gateway.preview(listed).problems
        assert "external_room_id: must be a text, not list" == str(problem)
        for what in (5, None, ["id"]):
            with pytest.raises(Invalid, match="what: must be a Ticket, a KeyRef or an envelope's"):
                await gateway.status(what)
            with pytest.raises(Invalid, match="what: must be a Ticket or an envelope's id, not"):
                await gateway.cancel(what)
        ref = KeyRef(instance_id="bot", external_room_id=["room"], key="k")
        with pytest.raises(Invalid, match=r"what\.external_room_id: must be a text, not list"):
            await gateway.status(ref)
        for verb in (
            lambda: gateway.send("bot", "room", "hello", raises="no"),
            lambda: gateway.call("bot", "room", "method", raises="no"),
        ):
            with pytest.raises(Invalid, match="raises: must be true or false, not 'no'"):
                await verb()
        sent = Send(instance_id="bot", external_room_id="room", text="hello")
        with pytest.raises(Invalid, match="wait: must be true or false, not 'no'"):
            await gateway.submit(sent, wait="no")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"rng": 7}, r"`rng` must be a random\.Random, not int"),
        ({"wall_clock": 7.0}, "`wall_clock` must be a function that gives POSIX time.* not 7.0"),
        ({"wall_clock": lambda: "noon"}, "not one that gives 'noon'"),
        ({"wall_clock": lambda: math.nan}, "not one that gives nan"),
    ],
)
async def test_the_generator_and_the_clock_are_looked_at(given, words):
    with pytest.raises(TypeError, match=words):
        async with open_gateway(GatewayConfig(), **given):
            pass


def test_a_secret_in_base64_is_hidden():
    """As a proxy quotes the header of a Basic authorization."""
    settings = SlackSettings(
        token=Secret(SLACK),
        refresh_token=Secret("xoxe-1"),
        client_id="1.2",
        client_secret=Secret("c0ffee00c0ffee00"),
    )
    from base64 import b64encode, urlsafe_b64encode  # noqa: PLC0415 - here alone

    for before in ("", "1", "1.", "1.2:", "a user:"):
        for encode in (b64encode, urlsafe_b64encode):
            header = encode(f"{before}c0ffee00c0ffee00{before}".encode()).decode()
            shown = hidden(f"refused: Basic {header}", Instance("bot", "slack", settings))
            assert "***" in shown
            assert encode(b"0c0ffee0").decode()[2:9] not in shown
            assert len(shown) < len(f"refused: Basic {header}") - 8


# -- validators that read other fields, and two distributions


@attrs.frozen(kw_only=True)
class Pair:
    low: int = 1
    high: int = attrs.field(default=2)

    @high.validator
    def _above(self, _attribute, value):
        if value <= self.low:
            raise ValueError(f"'high' must be above `low`, which is {self.low}, not {value}")


class Paired(FakeChannel):
    @hookimpl
    def settings_type(self):
        return Pair


def test_a_validator_that_reads_another_field_is_told_at_its_own():
    content = {"instances": {"bot": {"channel": "pair", "low": 5, "high": 3, "colour": 1}}}
    with pytest.raises(ConfigError) as caught:
        parse_config(content, [("pair", Paired())])
    assert {
        "instances.bot.colour: is not a setting; the settings here are low, high",
        "instances.bot.high: must be above `low`, which is 5, not 3",
    } == set(map(str, caught.value.problems))


def test_the_filter_chooses_between_two_distributions_of_one_channel(tmp_path, monkeypatch):
    for name in ("acme-pigeon", "bird-pigeon"):
        info = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        module = name.partition("-")[0]
        (info / "entry_points.txt").write_text(f"[gateway_plugin]\npigeon = {module}_pigeon\n")
        (tmp_path / f"{module}_pigeon.py").write_text(PIGEON)
    monkeypatch.syspath_prepend(tmp_path)
    content = {"instances": {"bird": {"channel": "pigeon"}}}
    with pytest.raises(PluginError, match=r"name one of the two distributions in `plugins\.deny`"):
        parse_config(content)
    config = parse_config({**content, "plugins": {"deny": ["acme-pigeon"]}})
    assert "bird_pigeon" == type(config.instances[0].settings).__module__


PIGEON = """
import attrs
from gateway_core.authors import Answer, hookimpl

GATEWAY_CONTRACT = 1

@attrs.frozen
class Settings:
    pass

@hookimpl
def settings_type():
    return Settings

@hookimpl
async def send(attempt):
    return Answer()

@hookimpl
def traits():
    from gateway_core.authors import Traits
    return Traits(edit=False, delete=False)
"""


async def test_a_fake_instance_is_configured_as_before():
    """The relations concern settings that ask for them alone."""
    GatewayConfig(instances=[Instance(n, "fake", FakeSettings()) for n in ("a", "b")])
