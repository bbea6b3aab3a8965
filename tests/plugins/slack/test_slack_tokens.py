"""Tokens that outlive the process, in the file that is configured for them."""

import json

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from gateway_core import Instance, Secret
from gateway_plugin_slack import hooks
from gateway_plugin_slack.settings import Settings
from gateway_plugin_slack.tokens import MOST

NEW = {"ok": True, "access_token": "xoxe.xoxb-1-new", "refresh_token": "xoxe-1-next"}


def rotating(file, refresh="xoxe-1-first"):
    settings = Settings(
        token=Secret("xoxe.xoxb-1-old"),
        refresh_token=Secret(refresh),
        client_id="1.2",
        client_secret=Secret("shh"),
        token_file=str(file),
    )
    return Instance("support", "slack", settings)


async def bearer(slack, instance, attempt):
    async with hooks.open_session(instance=instance) as session:
        await hooks.send(session=session, attempt=attempt("send"))
    return slack.requests[-1].headers["authorization"]


@pytest.fixture(name="file")
async def _file(slack, tmp_path):
    """The file after an exchange."""
    slack.will_say(NEW)
    async with hooks.open_session(instance=rotating(tmp_path / "tokens.json")) as session:
        assert Secret("xoxe.xoxb-1-new") == await hooks.credentials(session=session)
    return tmp_path / "tokens.json"


async def test_a_new_process_goes_on_with_the_exchanged_tokens(slack, file, attempt):
    instance = rotating(file)
    assert "Bearer xoxe.xoxb-1-new" == await bearer(slack, instance, attempt)
    slack.will_say({"ok": True, "access_token": "xoxe.xoxb-1-newer", "refresh_token": "xoxe-1-3"})
    async with hooks.open_session(instance=instance) as session:
        await hooks.credentials(session=session)
    assert "xoxe-1-next" == slack.requests[-1].fields["refresh_token"]
    assert "Bearer xoxe.xoxb-1-newer" == await bearer(slack, rotating(file), attempt)


async def test_only_its_owner_may_read_it(file):
    assert 0o600 == file.stat().st_mode & 0o777
    assert [file] == list(file.parent.iterdir())


async def test_newly_configured_tokens_win_over_the_file(slack, file, attempt):
    fresh = rotating(file, refresh="xoxe-1-of-a-new-installation")
    assert "Bearer xoxe.xoxb-1-old" == await bearer(slack, fresh, attempt)


async def test_instances_may_share_a_file(slack, file, attempt):
    """Each finds its own tokens there: what the other exchanged takes nothing away."""
    slack.will_say({"ok": True, "access_token": "xoxe.xoxb-2-new", "refresh_token": "xoxe-2-next"})
    async with hooks.open_session(instance=rotating(file, refresh="xoxe-2-first")) as session:
        await hooks.credentials(session=session)
    assert "Bearer xoxe.xoxb-1-new" == await bearer(slack, rotating(file), attempt)
    other = rotating(file, refresh="xoxe-2-first")
    assert "Bearer xoxe.xoxb-2-new" == await bearer(slack, other, attempt)


async def test_a_file_holds_the_newest_accounts_only(slack, file):
    for number in range(MOST):
        slack.will_say(NEW)
        changed = rotating(file, refresh=f"xoxe-{number}-other")
        async with hooks.open_session(instance=changed) as session:
            await hooks.credentials(session=session)
    assert MOST == len(json.loads(file.read_text())["tokens"])
    assert rotating(file).settings.tokens.reread() is False


DAMAGED = [
    "", "{}", "[]", "7", '{"begun_from": 1, "access": "xoxe-secret', '{"tokens": ["xoxe-secret"]}',
    '{"tokens": {"a": {"access": "xoxe-secret"}}}',
]  # fmt: skip


@pytest.mark.parametrize("text", DAMAGED)
async def test_a_damaged_file_is_named_and_never_quoted(tmp_path, text):
    file = tmp_path / "tokens.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"tokens\.json: no file of Slack tokens") as caught:
        async with hooks.open_session(instance=rotating(file)):
            pass
    assert "xoxe-secret" not in repr(caught.value)


async def test_a_file_that_cannot_be_written_is_logged_and_the_token_used(slack, tmp_path, attempt):
    (tmp_path / "folder").mkdir()
    instance = rotating(tmp_path / "folder" / "tokens.json")
    (tmp_path / "folder").rmdir()
    slack.will_say(NEW)
    with capture_logs() as logged:
        async with hooks.open_session(instance=instance) as session:
            await hooks.credentials(session=session)
    assert ["slack.tokens_not_kept"] == [entry["event"] for entry in logged]
    assert "Bearer xoxe.xoxb-1-new" == await bearer(slack, instance, attempt)


async def test_what_another_process_has_exchanged_is_taken_and_not_exchanged_again(
    slack, tmp_path, attempt
):
    """Two processes share the file: one was faster, and its refresh token has served its time."""
    mine, theirs = (rotating(tmp_path / "tokens.json") for _ in range(2))
    async with hooks.open_session(instance=mine) as session:
        async with hooks.open_session(instance=theirs) as other:
            slack.will_say(NEW)
            await hooks.credentials(session=other)
        assert Secret("xoxe.xoxb-1-new") == await hooks.credentials(session=session)
    assert ["oauth.v2.access"] == [request.method for request in slack.requests]
    assert "Bearer xoxe.xoxb-1-new" == await bearer(slack, mine, attempt)


async def test_who_loses_the_race_for_the_exchange_takes_what_the_other_got(slack, tmp_path):
    """Both find the file as it was; the second to ask is refused, and looks again."""
    mine, theirs = (rotating(tmp_path / "tokens.json") for _ in range(2))
    async with hooks.open_session(instance=mine) as session:
        slack.will_say({"ok": False, "error": "invalid_refresh_token"})
        slack.holding = trio.Event()
        async with trio.open_nursery() as nursery:
            found = []

            async def ask():
                found.append(await hooks.credentials(session=session))

            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            theirs.settings.tokens.exchanged("xoxe.xoxb-1-new", "xoxe-1-next")
            slack.holding.set()
    assert [Secret("xoxe.xoxb-1-new")] == found
