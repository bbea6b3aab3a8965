"""The configuration: every mistake at once, each by its place."""

import json
import os
import re
from enum import StrEnum

import attrs
import pytest

from gateway_core import (
    ConfigError,
    GatewayConfig,
    Instance,
    OutboxSettings,
    PluginError,
    Problem,
    Secret,
    load_config,
    load_outbox,
    parse_config,
)
from gateway_core.authors import hookimpl
from gateway_core.plugins import loader
from gateway_core.testing import FakeChannel


class Speed(StrEnum):
    SLOW = "slow"
    FAST = "fast"


def _with_slash(address):
    if not address.startswith("/"):
        raise ValueError("must begin with a slash")
    return address


@attrs.frozen(kw_only=True)
class PostSettings:
    """Settings of a channel of letters."""

    token: Secret
    speed: Speed = Speed.SLOW
    copies: int = attrs.field(default=1, validator=attrs.validators.in_((1, 2, 3)))
    wait: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))
    address: str = attrs.field(default="/", converter=_with_slash)
    boxes: tuple[int, ...] = ()
    registered: bool = False


class Post(FakeChannel):
    """A channel whose settings have a secret."""

    @hookimpl
    def settings_type(self):
        return PostSettings


CHANNELS = [("post", Post()), ("fake", FakeChannel())]


def parsed(content, **given):
    given.setdefault("environ", {})
    return parse_config(content, CHANNELS, **given)


def mistakes(content, **given):
    """Place and words of each."""
    with pytest.raises(ConfigError) as caught:
        parsed(content, **given)
    return sorted((problem.place, problem.text) for problem in caught.value.problems)


def post(**fields):
    return {"instances": {"letters": {"channel": "post", "token": "t"} | fields}}


# -- what is read


def test_an_empty_file_is_the_defaults():
    assert GatewayConfig() == parsed({})


def test_settings_and_instances_are_read():
    config = parsed(
        {
            "partition_count": 4,
            "partition_by": "instance",
            "ttl": {"urgent": 60},
            "retries": {"attempts": 3},
            "circuit": {"window": 5},
            "pressure": {"thresholds": [0.5, 0.6, 0.7]},
            "plugins": {"deny": ["telegram", "slack", "discord"]},
            "instances": {
                "letters": {"channel": "post", "token": "t", "speed": "fast", "boxes": [1, 2]},
                "tests": {"channel": "fake", "name": "n"},
            },
        }
    )
    assert (4, "instance", 60.0, 3600.0) == (
        config.partition_count,
        config.partition_by,
        config.ttl.urgent,
        config.ttl.normal,
    )
    assert (3, 5) == (config.retries.attempts, config.circuit.window)
    assert (0.5, 0.6, 0.7) == config.pressure.thresholds
    assert ("telegram", "slack", "discord") == config.plugins.deny
    letters, tests = config.instances
    settings = PostSettings(token=Secret("t"), speed=Speed.FAST, boxes=(1, 2))
    assert Instance("letters", "post", settings) == letters
    assert Speed.FAST is letters.settings.speed
    assert ("tests", "fake", "n") == (tests.id, tests.channel, tests.settings.name)


def test_a_file_is_read(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text('partition_count = 2\n[instances.tests]\nchannel = "fake"\n')
    config = load_config(file, CHANNELS)
    assert (2, ["tests"]) == (config.partition_count, [i.id for i in config.instances])


def test_whole_numbers_are_seconds():
    assert 5.0 == parsed({"drain_timeout": 5}).drain_timeout


# -- secrets


def secret(value, **given):
    (instance,) = parsed(post(token=value), **given).instances
    return instance.settings.token


def test_a_secret_may_stand_in_the_environment():
    assert Secret("s3cret") == secret({"env": "TOKEN"}, environ={"TOKEN": "s3cret"})


def test_the_process_s_environment_is_asked_where_none_is_given(monkeypatch):
    monkeypatch.setenv("POST_TOKEN", "s3cret")
    assert Secret("s3cret") == secret({"env": "POST_TOKEN"}, environ=None)


def test_a_secret_may_stand_in_a_file_beside_the_configuration(tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    assert Secret("s3cret") == secret({"file": "token"}, folder=tmp_path)
    assert Secret("s3cret") == secret({"file": str(tmp_path / "token")})


def test_a_secret_may_be_the_text_itself():
    assert Secret("t") == secret("t")


def test_a_secret_never_prints():
    (instance,) = parsed(post(token="s3cret")).instances
    assert "s3cret" not in repr(instance)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"env": "NONE"}, "environment variable 'NONE' is not set"),
        ({"env": "EMPTY"}, "environment variable 'EMPTY' is empty"),
        (
            {"env": 5},
            (
                'must name an environment variable, as in { env = "BOT_TOKEN" };'
                " the value is not shown, since it may be the secret"
            ),
        ),
        ({"file": "none"}, "file 'none': No such file or directory"),
        ({"file": "empty"}, "file 'empty' is empty"),
        ({"file": "."}, "file '.': Is a directory"),
        ({"env": "A", "file": "b"}, 'must be { env = "NAME" }, { file = "path" } or a text'),
        ("", "is empty"),
        (5, 'must be { env = "NAME" }, { file = "path" } or a text'),
    ],
    ids=str,
)
def test_a_secret_that_is_not_there_is_a_mistake(value, text, tmp_path):
    (tmp_path / "empty").write_text(" \n")
    found = mistakes(post(token=value), environ={"EMPTY": ""}, folder=tmp_path)
    assert [("instances.letters.token", text)] == found


def test_a_pipe_is_no_secret_file(tmp_path):
    """To open one waits for its writer, for ever in a thread that nobody can cancel."""
    os.mkfifo(tmp_path / "token")
    text = "file 'token': is a pipe: give a regular file, which each reload can read again"
    found = mistakes(post(token={"file": "token"}), folder=tmp_path)
    assert [("instances.letters.token", text)] == found


def test_a_secret_file_that_is_no_text_is_a_mistake(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    ((place, text),) = mistakes(post(token={"file": "binary"}), folder=tmp_path)
    assert "instances.letters.token" == place
    assert text.startswith("file 'binary': ")


@pytest.mark.parametrize("name", [5, ["A"]], ids=str)
def test_the_name_of_a_variable_is_a_text(name):
    ((place, _),) = mistakes(post(token={"env": name}))
    assert "instances.letters.token" == place


# -- mistakes


def test_every_mistake_is_told_at_once_by_its_place():
    content = {
        "partition_count": 0,
        "partition_bound": -1,
        "room_bound": "many",
        "colour": "red",
        "when_suspended": "cry",
        "ttl": {"urgent": -1, "nobody": 5},
        "retries": 5,
        "circuit": {"share": 2.0},
        "pressure": {"thresholds": [0.9, 0.5]},
        "plugins": {"allow": "post"},
        "instances": {
            "nameless": {"token": "t"},
            "strange": {"channel": "pigeon"},
            "letters": {
                "channel": "post",
                "speed": "slower",
                "copies": 9,
                "wait": 0,
                "boxes": [1, "two"],
                "registered": "yes",
                "stamp": 1,
            },
        },
    }
    expected = [
        "circuit.share",
        "colour",
        "instances.letters.boxes.1",
        "instances.letters.copies",
        "instances.letters.registered",
        "instances.letters.speed",
        "instances.letters.stamp",
        "instances.letters.token",
        "instances.letters.wait",
        "instances.nameless.channel",
        "instances.strange.channel",
        "partition_bound",
        "partition_count",
        "plugins.allow",
        "pressure.thresholds",
        "retries",
        "room_bound",
        "ttl.nobody",
        "ttl.urgent",
        "when_suspended",
    ]
    assert expected == [place for place, _ in mistakes(content)]


@pytest.mark.parametrize(
    ("content", "place", "text"),
    [
        ({"partition_count": 0}, "partition_count", "must be a whole number from 1 to 1000, not 0"),
        ({"partition_count": 1.5}, "partition_count", "must be a whole number, not 1.5"),
        ({"partition_count": True}, "partition_count", "must be a whole number, not True"),
        ({"instance_bound": 0}, "instance_bound", "must be a whole number of at least 1, not 0"),
        ({"shed": 1}, "shed", "must be true or false, not 1"),
        ({"outbox": 5}, "outbox", "must be a URL, or a table with a `url`"),
        ({"attempt_timeout": "soon"}, "attempt_timeout", "must be a number, not 'soon'"),
        ({"attempt_timeout": float("nan")}, "attempt_timeout", "must be a number, not nan"),
        ({"attempt_timeout": True}, "attempt_timeout", "must be a number, not True"),
        ({"colour": "red"}, "colour", "is not a setting"),
        (
            {"patition_count": 4},
            "patition_count",
            "is not a setting; did you mean 'partition_count'?",
        ),
        ({"instance": {}}, "instance", "is not a setting; did you mean 'instances'?"),
        (
            {"idempotency_window": float("inf")},
            "idempotency_window",
            "must be a number at least 0.001 and at most 1e+09, not inf",
        ),
        (
            {"ttl": {"bulk": 1e300}},
            "ttl.bulk",
            "must be a number at least 0.001 and at most 1e+09, not 1e+300",
        ),
        ({"retries": 5}, "retries", "must be a table"),
        ({"telemetry": {"export": 5}}, "telemetry.export", "must be a table"),
        (
            {"when_suspended": "wiat"},
            "when_suspended",
            "must be one of 'wait', 'end', 'refuse', not 'wiat'; did you mean 'wait'?",
        ),
        ({"plugins": {"deny": "slack"}}, "plugins.deny", "must be a list"),
        (
            {"pressure": {"thresholds": [0.5, 0.6]}},
            "pressure.thresholds",
            "must be a list of 3, not [0.5, 0.6]",
        ),
        (post(boxes=5), "instances.letters.boxes", "must be a list"),
        ({"instances": 5}, "instances", "must be a table of tables: [instances.NAME] for each"),
        ({"instances": [{"channel": "post"}]}, "instances", "[instances.NAME] for each account"),
        ({"instances": {"a": 5}}, "instances.a", "must be a table"),
        ({"instances": {"a": {}}}, "instances.a.channel", "is missing"),
        (
            {"instances": {"a": {"chanel": "post"}}},
            "instances.a.chanel",
            "is not a setting; did you mean 'channel'?",
        ),
        (
            {"instances": {"a": {"channel": "pots"}}},
            "instances.a.channel",
            "; did you mean 'post'?",
        ),
        (
            {"instances": {"a": {"channel": []}}},
            "instances.a.channel",
            "no plugin serves channel []; installed: ",
        ),
        (
            {"instances": {"a\n": {"channel": "post", "token": "t"}}},
            "instances.a\n.id",
            "must be a name: it has a control character",
        ),
        (
            {"pressure": {"thresholds": [0.9, 0.5, 0.6]}},
            "pressure.thresholds",
            "must be three rising shares up to 1, not (0.9, 0.5, 0.6)",
        ),
        (
            {"partition_by": "hash"},
            "partition_by",
            "must be one of 'room', 'instance' or a callable, not 'hash'",
        ),
        (post(copies=9), "instances.letters.copies", "must be in (1, 2, 3)"),
        (post(address="x"), "instances.letters.address", "must begin with a slash"),
        (post(wait=0), "instances.letters.wait", "must be > 0: 0.0"),
        (
            {"instances": {"a": {"channel": "post"}}},
            "instances.a.token",
            "is missing",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_mistake_is_told_in_words(content, place, text):
    ((found_place, found_text),) = mistakes(content)
    assert place == found_place
    assert text in found_text


def test_what_a_converter_refuses_is_told_beside_other_mistakes():
    places = [place for place, _ in mistakes(post(address="x", copies="many", wait=0))]
    assert ["address", "copies", "wait"] == [place.rpartition(".")[2] for place in places]


def test_a_channel_that_nobody_serves_is_told_with_those_that_are():
    ((place, text),) = mistakes({"instances": {"a": {"channel": "pigeon"}}})
    assert "instances.a.channel" == place
    assert text.startswith("no plugin serves channel 'pigeon'; installed: ")
    assert {"fake", "post"} <= set(text.rpartition(": ")[2].split(", "))


@pytest.mark.parametrize(
    ("channel", "end"),
    [
        ("pigeon", "; is gateway-plugin-pigeon installed?"),
        ("telegrm", "; did you mean 'telegram'?"),
        ("Carrier pigeon", ", telegram"),
        ("../x", ", telegram"),
    ],
)
def test_a_channel_that_nobody_serves_is_told_with_its_package(channel, end):
    """By the name that such packages have, if no installed channel is meant."""
    ((_, text),) = mistakes({"instances": {"a": {"channel": channel}}})
    assert text.endswith(end)


def test_settings_of_a_class_that_cannot_be_read_are_their_plugin_s_mistake():
    class Settings:
        pass

    class Careless(FakeChannel):
        @hookimpl
        def settings_type(self):
            return Settings

    with pytest.raises(ConfigError) as caught:
        parse_config(
            {"instances": {"a": {"channel": "careless"}}}, [("careless", Careless())], environ={}
        )
    (problem,) = caught.value.problems
    assert "instances.a" == problem.place
    told = (
        "the plugin of channel 'careless' must return an attrs class from the hook `settings_type`"
    )
    assert problem.text.startswith(f"{told}, not {__name__}.")


def _raises(error):
    def check(_self, _field, value):
        raise error(value.reveal())

    return check


@pytest.mark.parametrize("error", [KeyError, AttributeError, ValueError, TypeError, LookupError])
@pytest.mark.parametrize("by", ["validator", "converter"])
def test_no_words_of_a_settings_class_show_a_secret(error, by):
    """A KeyError's value was read as the name of a setting that is missing."""
    check = _raises(error)
    convert = check if by == "validator" else lambda value: check(None, None, value)

    @attrs.frozen
    class Settings:
        token: Secret = attrs.field(**{by: convert})

    class Careless(FakeChannel):
        @hookimpl
        def settings_type(self):
            return Settings

    account = {"channel": "careless", "token": "hunter2secret"}
    with pytest.raises(ConfigError) as caught:
        parse_config({"instances": {"a": account}}, [("careless", Careless())], environ={})
    assert ["instances.a.token"] == [problem.place for problem in caught.value.problems]
    assert "hunter2" not in str(caught.value)


def test_what_is_installed_is_read_as_often_for_fifty_unknown_channels_as_for_one(monkeypatch):
    read = []
    real = loader.entry_points

    def counted(**chosen):
        read.append(chosen)
        return real(**chosen)

    monkeypatch.setattr(loader, "entry_points", counted)
    times = []
    for number in (1, 50):
        read.clear()
        unknown = {f"a{i}": {"channel": f"pigeon{i}"} for i in range(number)}
        assert number == len(mistakes({"instances": unknown}))
        times.append(len(read))
    assert times[0] == times[1]


def test_instances_in_the_wrong_hands_are_told():
    """`instances` of a nested table is no setting; a list of them neither."""
    ((place, _),) = mistakes({"instances": [{"channel": "post"}]})
    assert "instances" == place


def test_a_file_that_is_not_there_is_a_mistake(tmp_path):
    with pytest.raises(ConfigError, match=r"gateway\.toml: No such file or directory"):
        load_config(tmp_path / "gateway.toml", CHANNELS)


@pytest.mark.parametrize("content", [b"= 5", b"\xff", b"a = " + b"[" * 3_000])
def test_a_file_that_is_no_toml_is_a_mistake(tmp_path, content):
    file = tmp_path / "gateway.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="is not TOML"):
        load_config(file, CHANNELS)


class Tape:
    """A policy that knows an outbox and an exporter by their settings, and opens neither."""

    entered = False

    @hookimpl
    def open_outbox(self, url):
        if url.startswith("tape:") and not url.endswith(".tape"):
            raise ConfigError([Problem("outbox", "a tape ends in .tape")])
        return self if url.startswith("tape:") else None

    @hookimpl
    def open_telemetry(self, settings):
        if "ink" not in settings:
            raise ConfigError([Problem("telemetry.export.ink", "is missing")])
        return self

    async def __aenter__(self):
        self.entered = True


@pytest.mark.parametrize("content", ["gateway.toml", None, [("outbox", "tape:x")]])
def test_what_is_no_mapping_is_refused_by_its_type(content):
    with pytest.raises(TypeError, match=r"must be a mapping.*not .*: `load_config` reads"):
        parse_config(content)


def test_plugins_find_mistakes_in_their_settings_beside_all_others():
    content = {"outbox": "tape:x", "telemetry": {"export": {"pen": 1}}, "colour": "red"}
    content |= {"plugins": {"deny": ["telemetry"]}}
    with pytest.raises(ConfigError) as caught:
        parse_config(content, [Tape()])
    assert {"outbox", "telemetry.export.ink", "colour"} == {p.place for p in caught.value.problems}
    tape = Tape()
    parse_config({"outbox": "tape:x.tape", "telemetry": {"export": {"ink": 1}}}, [tape])
    assert not tape.entered


class Safe(Tape):
    """A tape that can seal what it records."""

    @hookimpl
    def open_outbox(self, url, keys):
        self.sealed = bool(keys)
        return self


def test_keys_are_for_an_outbox_that_seals_with_them():
    table = {"url": "tape:x.tape", "keys": [{"env": "KEY"}, "second"]}
    config = parse_config({"outbox": table}, [Safe()], environ={"KEY": "first"})
    assert ["first", "second"] == [key.reveal() for key in config.outbox.keys]
    with pytest.raises(ConfigError, match=r"outbox.keys: cannot be used by this outbox"):
        parse_config({"outbox": table}, [Tape()], environ={"KEY": "first"})
    assert () == parse_config({"outbox": "tape:x.tape"}, [Tape()]).outbox.keys
    assert OutboxSettings(url="tape:x") == GatewayConfig(outbox="tape:x").outbox


@pytest.mark.parametrize(
    ("table", "place", "text"),
    [
        ({"keys": []}, "outbox.url", "is missing"),
        ({"url": "tape:x.tape", "keys": "THE-KEY"}, "outbox.keys", "must be a list, as in"),
        ({"url": "tape:x.tape", "keys": [{"env": "NO"}]}, "outbox.keys.0", "'NO' is not set"),
        ({"url": "tape:x.tape", "kes": []}, "outbox.kes", "did you mean 'keys'"),
        ({"url": 5}, "outbox.url", "must be a text, not 5"),
    ],
)
def test_a_mistake_in_the_table_of_the_outbox_is_told_by_its_place(tmp_path, table, place, text):
    written = re.sub(r'"(\w+)": ', r"\1 = ", json.dumps({"outbox": table}))
    (tmp_path / "gateway.toml").write_text(written[1:-1])
    for read in (
        lambda: parse_config({"outbox": table}, [Safe()]),
        lambda: load_outbox(tmp_path / "gateway.toml", environ={}),
    ):
        with pytest.raises(ConfigError) as caught:
            read()
        ((found_place, found_text),) = [(p.place, p.text) for p in caught.value.problems]
        assert (place, True) == (found_place, text in found_text)
        assert "THE-KEY" not in found_text


def test_the_outbox_alone_is_read_without_what_the_accounts_need(tmp_path):
    file = tmp_path / "gateway.toml"
    account = '[instances.a]\nchannel = "nobodys"\ntoken = { env = "NOT_HERE" }\n'
    (tmp_path / "key").write_text("k")
    file.write_text(f'[outbox]\nurl = "tape:x"\nkeys = [{{ file = "key" }}]\n{account}')
    assert OutboxSettings(url="tape:x", keys=[Secret("k")]) == load_outbox(file)
    file.write_text(f'outbox = "tape:x"\n{account}')
    assert OutboxSettings(url="tape:x") == load_outbox(file)
    for text in (account, ""):
        file.write_text(text)
        assert load_outbox(file) is None
    with pytest.raises(ConfigError, match="No such file"):
        load_outbox(tmp_path / "nowhere.toml")


def test_an_outbox_that_nobody_opens_is_a_mistake_that_names_who_is_left_out():
    content = {"outbox": "sqlite:///x.db", "plugins": {"deny": ["outboxes"]}}
    ((place, text),) = mistakes(content)
    assert "outbox" == place
    assert text.startswith("no plugin opens outboxes of scheme 'sqlite'")
    assert text.endswith("; the table `plugins` leaves out outboxes")


def test_a_plugin_that_is_denied_serves_no_channel():
    content = {"plugins": {"deny": ["slack"]}, "instances": {"a": {"channel": "slack"}}}
    ((place, text),) = mistakes(content)
    assert "instances.a.channel" == place
    installed, _, left_out = text.partition("; the table `plugins` leaves out ")
    assert "slack" not in installed.rpartition(": ")[2]
    assert "slack" == left_out


def test_plugins_that_cannot_be_bound_are_told_as_such():
    with pytest.raises(PluginError):
        parse_config({}, [("post", Post()), ("post", Post())])


# -- in code


def test_instances_given_in_code_may_be_any_iterable():
    config = GatewayConfig(instances=iter([Instance("a", "fake")]))
    assert (Instance("a", "fake"),) == config.instances


def test_partition_by_may_be_a_callable_in_code():
    assert len is GatewayConfig(partition_by=len).partition_by
    with pytest.raises(ValueError, match="must be one of 'room', 'instance' or a callable"):
        GatewayConfig(partition_by="hash")


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({"partition_bound": 100}, 75),
        ({"partition_bound": 1}, 1),
        ({"partition_bound": 100, "instance_bound": 10}, 10),
    ],
)
def test_an_instance_has_three_quarters_of_a_partition_unless_told_otherwise(settings, share):
    assert share == GatewayConfig(**settings).instance_share


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("partition_count", 0),
        ("partition_count", 1.5),
        ("partition_bound", 0),
        ("instance_bound", 0),
        ("room_bound", 0),
        ("attempts_per_partition", 0),
        ("attempts_per_instance", 0),
        ("attempt_timeout", 0),
        ("session_idle", 0),
        ("drain_timeout", -1),
        ("max_parts", 0),
        ("when_suspended", "cry"),
        ("idempotency_window", 0),
        ("idempotency_keys", 0),
        ("history", 0),
        ("outbox_capacity", 0),
        ("attempt_timeout", "soon"),
        ("attempt_timeout", True),
        ("drain_timeout", None),
        ("idempotency_window", float("inf")),
        ("instance_bound", 1.5),
        ("shed", "no"),
        ("outbox", 5),
        ("ttl", 60),
        ("retries", {"attempts": 3}),
        ("plugins", ["slack"]),
        ("telemetry", None),
        ("partition_by", []),
        ("instances", 5),
        ("instances", "bot"),
        ("instances", ["bot"]),
    ],
)
def test_values_out_of_range_are_refused_in_code_as_well(field, value):
    with pytest.raises(ValueError, match=f"'{field}' must be .*, not "):
        GatewayConfig(**{field: value})


@pytest.mark.parametrize("value", [5, "", "a\x00b", "\ud800", "a\nb", "i" * 1025], ids=ascii)
def test_an_instance_has_a_name(value):
    """Its id stands in every routing key, log and file."""
    with pytest.raises(ValueError, match="'id' must be a "):
        Instance(value, "fake")


def test_a_path_that_cannot_be_one_is_a_mistake():
    with pytest.raises(ConfigError, match="null byte"):
        load_config("a\x00b")
