"""Bugs put into messages with files: the simulation must notice each of them, and soon.

Like `test_seeded_bugs.py`, but only in worlds with files.
"""

# ruff: noqa: ARG005 - the bugs have the signatures of what they replace

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import attrs
import pytest
from amounts import one_of_three
from simulated.bugs import Bugs
from simulated.drawing import draw

from gateway_contrib.sqlite.beside.contents import Contents
from gateway_core.authors import TransportError
from gateway_core.deliveries import steps
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.step_files import StepFiles
from gateway_core.engine import consequences
from gateway_core.files import keeper
from gateway_core.files.keeper import KeptFiles
from gateway_core.files.spool import Spool
from gateway_plugin_discord import files as discord_files
from gateway_plugin_slack.api import SlackSession

MOST_WORLDS = 60

bug = BUGS = Bugs()


@bug("bytes that are needed are gone|is not stored")
def bytes_are_gone_with_the_first_message_that_ends(patch):
    """Other messages need the same bytes."""

    def let_go(self: Spool, digest: str) -> None:
        self._kept.pop(digest, None)

    patch.setattr(Spool, "let_go", let_go)


@bug("bytes that are needed are gone", seen=285)
def an_outbox_forgets_bytes_that_others_use(patch):
    def _forget(self: Contents, digest: str) -> None:
        self._db.execute("DELETE FROM bytes WHERE digest = ?", (digest,))
        self._gone.add(digest)

    patch.setattr(Contents, "_forget", _forget)


@bug("bytes that nobody needs are left")
def bytes_stay_once_the_message_has_ended(patch):
    patch.setattr(Spool, "hold", lambda self, digests, delivery: None)


@bug("bytes that nobody needs are left", seen=118)
def an_outbox_keeps_the_bytes_of_what_it_forgets(patch):
    patch.setattr(Contents, "end", lambda self, seqs: None)


@bug("is not what was asked for|stands with|stands twice|is nowhere")
def an_id_of_an_upload_is_used_for_other_bytes(patch):
    """Files of the same kind are taken for the same file."""

    def named(instance_id: str, file: Any) -> Any:
        return instance_id, "", file.as_document, file.media_type

    patch.setattr(keeper, "_name", named)


@bug("a file is named that", seen=117)
def an_id_of_an_upload_is_used_on_another_account(patch):
    def named(instance_id: str, file: Any) -> Any:
        return "", file.digest, file.as_document, file.media_type

    patch.setattr(keeper, "_name", named)


@bug("its text was to go alone", seen=150)
def a_caption_goes_with_its_refused_file(patch):
    whole = consequences.piece_of
    patch.setattr(
        consequences,
        "piece_of",
        lambda *given, without_files: None if without_files else whole(*given, without_files=False),
    )


@bug("went without its files, and nobody said so", seen=150)
def nobody_is_told_of_refused_files(patch):
    whole = Delivery.lose_files

    def lose_files(self: Any, step: Any, parts: Any, lost: str) -> None:
        whole(self, step, parts, "")

    patch.setattr(Delivery, "lose_files", lose_files)


@bug("stands twice, and nobody said so|is there|stands [0-9]+ times", seen=1059)
def a_lost_answer_of_a_share_counts_as_not_sent(patch):
    """Slack may have shared the files although the answer was lost."""
    whole = SlackSession._share

    async def share(self: Any, *given: Any) -> Any:
        try:
            return await whole(self, *given)
        except TransportError as error:
            raise TransportError(error.text, dispatched="no") from error

    patch.setattr(SlackSession, "_share", share)


@bug("stands twice|stands [0-9]+ times|is there")
def a_share_is_completed_again_where_it_shows_nothing_yet(patch):
    whole = SlackSession._share

    async def share(self: Any, attempt: Any, fields: Any) -> Any:
        await whole(self, attempt, fields)
        return await whole(self, attempt, fields)

    patch.setattr(SlackSession, "_share", share)


@bug("stands twice, and nobody said so|stands [0-9]+ times|is there", seen=64)
def an_upload_of_unknown_outcome_is_made_again_as_if_it_were_certain(patch):
    patch.setattr("gateway_core.http.progress.Progress.failure", _certain)


def _certain(self: Any, text: str, *, of_source: bool = False) -> Any:
    from gateway_core.contract.errors import TransportError as Error  # noqa: PLC0415 - as it makes one
    from gateway_core.http.answers import UnreadableBody  # noqa: PLC0415 - likewise

    if self.status is not None:
        return UnreadableBody(text, status=self.status)
    uploads = self._end == float("inf") or self.phase == "total"
    return Error(text, dispatched="no" if uploads or not self.written else "unknown")


@bug("stands with", seen=80)
def the_files_of_a_message_go_in_another_order(patch):
    whole = discord_files.content_of

    def content_of(attempt: Any, body: Any) -> Any:
        return whole(attrs.evolve(attempt, files=tuple(reversed(attempt.files))), body)

    patch.setattr("gateway_plugin_discord.api.content_of", content_of)


@bug("is delivered without its files|is nowhere|is there", seen=3)
def all_but_the_first_file_are_forgotten(patch):
    whole = steps.files_of

    def files_of(part: Any, files: Any) -> Any:
        found = whole(part, files)
        return None if found is None else StepFiles(found.files[:1])

    patch.setattr(steps, "files_of", files_of)


@bug("is not what was asked for|stands with|is nowhere|is shown as|nobody asked")
def a_file_has_the_name_of_the_one_before(patch):
    """A form begins with the file name that is left of another form."""
    whole, names = KeptFiles._upload, ["first.txt"]

    def upload(self: Any, instance_id: str, file: Any, *given: Any, **more: Any) -> Any:
        made = whole(self, instance_id, file, *given, **more)
        names.append(file.name)
        return attrs.evolve(made, file=attrs.evolve(file, name=names[-2]))

    patch.setattr(KeptFiles, "_upload", upload)


def with_files() -> Iterator[int]:
    """The seeds of worlds with files."""
    return (seed for seed in count() if draw(seed).files is not None)


@pytest.mark.parametrize("name", one_of_three(BUGS))
def test_the_simulation_finds_it(name, monkeypatch):
    BUGS[name].expect_found(monkeypatch, with_files(), MOST_WORLDS)
