"""`main()`: runs the program `gateway`, and reports each error in one line on standard error.

Exit codes: 0: done; 1: accepted, but not delivered; 2: not done, and the line says why; 128 plus
the signal's number: stopped by a signal (SIGPIPE's number if no program reads the output).
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Sequence

from gateway_contrib.cli.ending import Ended, one_line

WRONG = 2
"""The exit code of a command that was not done."""
NOBODY_READS = 128 + 13
"""The exit code after SIGPIPE, which shells do not report; 1 would mean that a message failed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in the arguments (by default the process's own); returns the exit code."""
    try:
        code = _run(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
        return code
    except Ended as ended:
        return _say(str(ended), ended.code)
    except BrokenPipeError:
        # The reader has ended (`gateway plugins | head`): the last flush must print no error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS
    except SystemExit as left:
        if isinstance(left.__context__, BrokenPipeError):  # rich caught it, and exits
            return NOBODY_READS
        raise
    except KeyboardInterrupt:
        return _say("interrupted", 130)
    except Exception as error:  # noqa: BLE001 - people get a line, never a traceback
        return _say(one_line(error), WRONG)


def _run(arguments: list[str]) -> int:
    try:
        from gateway_contrib.cli.commands import app  # noqa: PLC0415 - its libraries are an extra
    except ModuleNotFoundError as error:
        name = error.name or str(error)
        raise Ended(f"{name} is missing: install 'gateway-contrib[cli]'", WRONG) from None
    from cyclopts import CycloptsError  # noqa: PLC0415 - likewise

    from gateway_contrib.cli.logs import set_up_log  # noqa: PLC0415 - likewise
    from gateway_contrib.cli.misunderstood import misunderstood  # noqa: PLC0415 - likewise
    from gateway_contrib.cli.stopping import run  # noqa: PLC0415 - likewise

    if not arguments or arguments[0] in app.help_flags:
        app.resolved_commands()  # the help has the first sentence of each
    try:
        command, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise Ended(misunderstood(error), WRONG) from None
    set_up_log(verbose=False)  # until the command sets it up: the log never goes to standard output
    if inspect.iscoroutinefunction(command):
        return run(lambda: command(*bound.args, **bound.kwargs))
    return command(*bound.args, **bound.kwargs) or 0


def _say(line: str, code: int) -> int:
    print(f"gateway: {line}", file=sys.stderr)
    return code
