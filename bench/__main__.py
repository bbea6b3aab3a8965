"""Runs every bench, one after the other: `python -m bench`."""

from __future__ import annotations

from bench import admission, bridge, classes, engine, moves, outbox, recovery, schedule, text


def main() -> None:
    for bench in (engine, bridge, moves, admission, classes, recovery, schedule, outbox, text):
        print(f"\n{(bench.__doc__ or '').splitlines()[0]}", flush=True)
        bench.main()
    print("\nRecovery again, over loopback sockets.", flush=True)
    recovery.main(["--sockets"])


if __name__ == "__main__":
    main()
