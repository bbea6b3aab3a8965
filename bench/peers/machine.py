"""Finds out what a comparison is measured on: day, machine, load, interpreters, versions."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LIBRARIES = ("python-telegram-bot", "aiogram", "slack_sdk", "discord.py", "hikari")

_ASKED = """
import importlib.metadata as m, json, platform, sys
there = {d.metadata["Name"].lower().replace("-", "_"): d.version for d in m.distributions()}
names = {name: there.get(name.lower().replace("-", "_")) for name in sys.argv[1:]}
print(json.dumps([platform.python_version(), [f"{n} {v}" for n, v in names.items() if v]]))
"""


def facts(python: str) -> dict[str, Any]:
    """The facts for the page's note; `python` is the interpreter of the other clients."""
    done = subprocess.run(  # noqa: S603 - an interpreter that the caller chose
        [python, "-c", _ASKED, *LIBRARIES], check=True, capture_output=True, text=True
    )
    theirs, versions = json.loads(done.stdout)
    ours = platform.python_version()
    also = "" if ours == theirs else f" (this gateway) and {theirs} (the other clients)"
    now = datetime.now(UTC)
    return {
        "date": f"{now.day} {now:%B %Y}",
        "machine": f"{_cores()} ({_processor()}), {platform.system()}",
        "python": f"{platform.python_implementation()} {ours}{also}",
        "load": round(os.getloadavg()[0], 1),
        "versions": versions,
    }


def _cores() -> str:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{count} core{'' if count == 1 else 's'}"


def _processor() -> str:
    """The processor's model name, if Linux knows it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
