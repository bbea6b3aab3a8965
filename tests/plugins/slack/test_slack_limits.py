"""Which limits Slack's operations draw on."""

import attrs
import pytest

from gateway_core import Instance, Limit, Secret
from gateway_plugin_slack import hooks
from gateway_plugin_slack.limits import TIERS
from gateway_plugin_slack.settings import Settings


def limits(instance, operation, room="C024BE91L"):
    return hooks.rate_limit(instance=instance, room=room, operation=operation)


@pytest.mark.parametrize("operation", ["send", "call:chat.postMessage"])
def test_a_post_draws_on_its_channel(instance, operation):
    assert (Limit("chat.postMessage:C024BE91L", 1, 1.0, "even", of="room"),) == limits(
        instance, operation
    )


@pytest.mark.parametrize(
    ("operation", "bucket", "count"),
    [
        ("edit", "chat.update", 50),
        ("delete", "chat.delete", 50),
        ("call:chat.update", "chat.update", 50),
        ("call:chat.startStream", "chat.startStream", 20),
        ("call:chat.postEphemeral", "chat.postEphemeral", 100),
        ("call:reactions.add", "reactions.add", 50),
    ],
)
def test_other_methods_draw_on_their_tier_of_the_workspace(instance, operation, bucket, count):
    assert (Limit(bucket, count, 60.0, "window"),) == limits(instance, operation)


def test_an_upload_draws_on_what_it_asks_once_for_each_file(instance):
    """The files are shared by one call, which has as many a minute."""
    assert (Limit("files.getUploadURLExternal", 100, 60.0, "window"),) == limits(instance, "upload")
    assert TIERS["files.getUploadURLExternal"] == TIERS["files.completeUploadExternal"]


@pytest.mark.parametrize("operation", ["call:assistant.threads.setStatus", "call:new.method"])
def test_typing_and_the_unknown_draw_on_nothing(instance, operation):
    assert () == limits(instance, operation)


def test_every_number_is_a_setting():
    settings = Settings(
        token=Secret("xoxb-1"),
        post_count=2,
        post_seconds=3.0,
        posts_per_minute=300,
        tier_2=1,
        tier_3=2,
        tier_4=3,
    )
    instance = Instance("s", "slack", settings)
    assert (
        Limit("chat.postMessage:C1", 2, 3.0, most=2, of="room"),
        Limit("chat.postMessage", 300, 60.0, "window"),
    ) == limits(instance, "send", "C1")
    assert [1, 2, 3] == [
        limits(instance, f"call:{method}")[0].count
        for method in ("pins.add", "chat.update", "users.info")
    ]


def test_every_tier_in_the_table_is_a_setting():
    assert set(TIERS.values()) <= {field.name for field in attrs.fields(Settings)}
