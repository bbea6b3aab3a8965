"""Kills a gateway again and again, and checks what the platforms got: `python -m bench.crashes`.

Every other kill comes at a named step of a message with several parts, or of an application that
follows endings; the other kills come at random moments. The three emulated platforms run in this
process, and survive the kills. The last two lines are `E endings told, R repeated, 0 missing` and
`N kills, M accepted: 0 lost, 0 late, D duplicated (all announced)`; otherwise the exit code is 1.
An ending may be repeated if the application got it after the last cursor that it stored.

With `--files` most messages have files. Some processes are killed while files are stored, sent or
forgotten, and no bytes may be left in the outbox at the end.

With `--outbox postgresql` three processes share the outbox; with `--accounts spread` its accounts
are spread over them: see `bench.crash_members`.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import apsw
import attrs
import trio

from bench import crash_files
from bench.crash_files import SeenFiles, orphans
from bench.crashing import ROOMS, STEPS, TOKENS, WORDS, text_of
from bench.following import NOTHING, Followed, Lives, endings_in, followed
from gateway_contrib.emulators.discord import DiscordEmulator, DiscordLimits
from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.slack import SlackEmulator, SlackLimits
from gateway_contrib.emulators.telegram import TelegramEmulator, TelegramLimits
from gateway_contrib.emulators.wire import Latency

ROOT = Path(__file__).parents[1]
MESSAGES = 6
LAST = 600.0
"""Seconds within which the last process must have sent everything."""
MOST_LIVES = 10
"""The most processes for each kill: more would mean a step that no process reaches."""
LONGEST = 0.8
"""The most seconds of a process that is killed at a random moment; with files, three times that."""


@attrs.define
class Outcome:
    """The outcome of all kills.

    steps     how many of the kills came at each named step; "": at a random moment
    unknown   messages that ended `unknown`; their receipts say which parts may be missing
    followed  the endings that the application got
    files     whether messages have files; `orphans`: bytes left in the outbox without need
    """

    kills: int = 0
    steps: Counter[str] = attrs.field(factory=Counter)
    unknown: list[int] = attrs.field(factory=list)
    accepted: dict[int, tuple[str, str, str]] = attrs.field(factory=dict)
    lost: list[str] = attrs.field(factory=list)
    late: list[str] = attrs.field(factory=list)
    duplicated: list[str] = attrs.field(factory=list)
    unannounced: list[str] = attrs.field(factory=list)
    followed: Followed = NOTHING
    files: bool = False
    orphans: list[str] = attrs.field(factory=list)

    @property
    def holds(self) -> bool:
        wrong = (self.lost, self.late, self.unannounced, self.orphans)
        return self.followed.holds and not any(wrong)

    @property
    def all_steps(self) -> tuple[str, ...]:
        """The steps at which processes are killed."""
        return (*crash_files.STEPS, *STEPS) if self.files else STEPS

    def __str__(self) -> str:
        told = "all announced" if not self.unannounced else f"{len(self.unannounced)} UNANNOUNCED"
        return (
            f"{self.kills} kills, {len(self.accepted)} accepted: {len(self.lost)} lost,"
            f" {len(self.late)} late, {len(self.duplicated)} duplicated ({told})"
            + (f", {len(self.orphans)} orphaned" if self.files else "")
        )


def platforms() -> dict[str, Any]:
    token = {name: {value} for name, value in TOKENS.items()}
    telegram = TelegramLimits(chat_seconds=0.0001, bot_count=100_000)
    slack = SlackLimits(posts=(100_000, 1.0), tiers={}, share_seconds=0.05)
    discord = DiscordLimits(count=100_000, global_count=100_000)
    return {
        "telegram": TelegramEmulator(tokens=token["telegram"], limits=telegram),
        "slack": SlackEmulator(tokens=token["slack"], limits=slack),
        "discord": DiscordEmulator(tokens=token["discord"], limits=discord),
    }


async def life(command: list[str], patience: float | None) -> tuple[int, str]:
    """Run one process until it ends, or until it is killed `patience` seconds after it is ready.

    Returns its exit code and its output.
    """
    process = await trio.lowlevel.open_process(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    said, errors, ready = bytearray(), bytearray(), trio.Event()

    async def listen() -> None:
        async for some in process.stdout:
            said.extend(some)
            ready.set()
        ready.set()

    async def complaints() -> None:
        async for some in process.stderr:
            errors.extend(some)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        nursery.start_soon(complaints)
        if patience is not None:
            await ready.wait()
            with trio.move_on_after(patience):
                await process.wait()
            process.kill()
        with trio.move_on_after(LAST):
            await process.wait()
        process.kill()
    if process.returncode not in (0, -9):
        raise RuntimeError(errors.decode()[-2000:])
    return process.returncode, said.decode()


async def next_life(
    path: Path, addresses: str, outcome: Outcome, rng: Random, *, first: int, kill: bool
) -> int:
    """Run a process to be killed, or to finish everything; returns the first unused number."""
    named, step = kill and outcome.kills % 2 == 0, ""
    command = [
        sys.executable, "-m", "bench.crashing", "--path", str(path), "--addresses", addresses,
        "--first", str(first), "--count", str(MESSAGES if kill else 0),
        "--partitions", str(rng.choice([1, 3, 8])),
    ]  # fmt: skip
    if outcome.files:
        command.append("--files")
    if named:
        step = outcome.all_steps[outcome.kills // 2 % len(outcome.all_steps)]
        command += ["--step", step, "--nth", str(rng.randrange(4))]
    longest = LONGEST * (3 if outcome.files else 1)
    code, said = await life(command, rng.random() * longest if kill and not named else None)
    whole, _, _ = said.rpartition("\n")  # a kill may cut the last line short
    for line in whole.splitlines():
        word, *rest = line.split()
        if word == "submitting":
            first = int(rest[0]) + 1
        elif word == "accepted":
            outcome.accepted[int(rest[0])] = (rest[1], rest[2], rest[3])
    if not kill and code:
        raise RuntimeError(f"the last life did not finish: {said[-500:]}")
    if code == -9:
        outcome.kills += 1
        outcome.steps[step] += 1
    return first


def receipts_of(path: Path) -> dict[int, dict[str, Any]]:
    """How each message ended, by its number."""
    connection = apsw.Connection(str(path))
    try:
        rows = connection.execute("SELECT k.key, h.receipt FROM keys k JOIN history h USING (seq)")
        return {int(key[1:]): json.loads(receipt) for key, receipt in rows}
    finally:
        connection.close()


def judge(outcome: Outcome, emulators: dict[str, Any], path: Path) -> None:
    """Compare the messages in the rooms with what was accepted and with the receipts."""
    receipts = receipts_of(path)
    seen: dict[int, set[int]] = {}
    twice: dict[str, set[int]] = {channel: set() for channel in ROOMS}
    files = SeenFiles()
    for channel, rooms in ROOMS.items():
        for room in rooms:
            messages = emulators[channel].rooms.conversation(room)
            for message in messages:
                files.look(channel, message, emulators[channel].files.get)
            words = [
                (int(number), int(word))
                for message in messages
                for number, word in re.findall(r"m(\d+)w(\d+)", message.text)
            ]
            firsts = list(dict.fromkeys(words))
            outcome.late += [
                f"{channel} {room}: {b} after {a}" for a, b in pairwise(firsts) if b < a
            ]
            for number, word in firsts:
                seen.setdefault(number, set()).add(word)
            twice[channel] |= {number for (number, _), count in Counter(words).items() if count > 1}
    for channel, numbers in twice.items():
        for number in sorted(numbers | files.twice(channel)):
            outcome.duplicated.append(f"{channel} m{number}")
            announced = receipts.get(number, {}).get("possible_duplicate", False)
            if channel == "discord" or not announced:
                outcome.unannounced.append(f"{channel} m{number}")
    for number in outcome.accepted:
        look(outcome, number, receipts.get(number, {}), seen.get(number, set()))
    if outcome.files:
        outcome.lost += [
            f"m{number}: {name} is missing"
            for number in outcome.accepted
            for name in files.missing(number, receipts.get(number, {}))
        ]
        outcome.lost += files.strange()
        outcome.orphans = orphans(path)


def look(outcome: Outcome, number: int, receipt: dict[str, Any], seen: set[int]) -> None:
    """Check that all of a message is there, except parts whose outcome is `unknown`."""
    ended = receipt.get("disposition")
    text, missing = text_of(number), set(range(WORDS)) - seen
    for part in receipt.get("parts", ()):
        if part["outcome"] == "unknown":
            start, end = part["span"]
            missing -= {int(word) for word in re.findall(r"w(\d+)", text[start:end])}
    if ended == "unknown":
        outcome.unknown.append(number)
    if missing or ended not in ("delivered", "unknown"):
        outcome.lost.append(f"m{number}: {len(missing)} of {WORDS} words are missing, {ended}")


async def crash(kills: int, folder: Path, seed: str = "0", *, files: bool = False) -> Outcome:
    """Kill `kills` times, let the last process finish, and judge the outcome."""
    outcome, rng, first = Outcome(files=files), Random(seed), 0
    path, emulators, lives = folder / "outbox.db", platforms(), Lives(folder)
    async with trio.open_nursery() as nursery:
        addresses = {}
        for name, emulator in emulators.items():
            app = Latency(0.005, 0.06, f"{seed}:{name}")(emulator.app)
            addresses[name] = await nursery.start(partial(serve, app))
        emulators["slack"].files_url = addresses["slack"]
        told = json.dumps(addresses)
        while outcome.kills < kills:
            if len(lives.all) > MOST_LIVES * kills:
                raise RuntimeError(f"{len(lives.all)} lives, and {outcome.kills} kills")
            first = await next_life(path, told, outcome, rng, first=first, kill=True)
            lives.ended()
        await next_life(path, told, outcome, rng, first=first, kill=False)
        lives.ended()
        nursery.cancel_scope.cancel()
    judge(outcome, emulators, path)
    outcome.followed = followed(lives.all, lives.rows(), endings_in(path))
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--files", action="store_true", help="give most messages files")
    parser.add_argument("--outbox", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument(
        "--accounts",
        choices=["whole", "spread"],
        default="whole",
        help="how a shared outbox's accounts are owned",
    )
    parser.add_argument(
        "--stops", type=int, default=50, help="how often an owner of a shared outbox is stopped"
    )
    parser.add_argument(
        "--servers", type=int, default=10, help="how often the database's server is ended"
    )
    asked = parser.parse_args()
    if asked.outbox == "postgresql":
        from bench import crash_members  # noqa: PLC0415 - which needs a server's programs

        crash_members.main(asked)
    with tempfile.TemporaryDirectory() as folder:
        run = partial(crash, asked.kills, Path(folder), asked.seed, files=asked.files)
        outcome = trio.run(run)
    wrong = (*outcome.followed.missing, *outcome.followed.mistaken)
    for line in (*outcome.lost, *outcome.late, *outcome.unannounced, *outcome.orphans, *wrong):
        print(line)
    at = ", ".join(
        f"{count} {step or 'at random moments'}" for step, count in sorted(outcome.steps.items())
    )
    print(f"kills: {at}")
    print(f"{len(outcome.unknown)} ended unknown, and say so")
    print(outcome.followed)
    print(outcome)
    sys.exit(0 if outcome.holds else 1)


if __name__ == "__main__":
    main()
