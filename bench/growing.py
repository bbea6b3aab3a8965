"""How many µs it takes to heal the Markdown of a growing answer of 20,000 characters.

`python -m bench.growing` prints the table, `--json` one object. There are texts of many kinds. Each
text is cut at a hundred places near its end: in words, in styles, in code. The table has the median
and the slowest of the cuts, each the best of five rounds, in processor time; and the time to parse
the same text.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from statistics import median

from bench.text import fastest, texts
from gateway_core.text import healed, parse

LENGTH = 20_000
CUTS = 100
AIM_US = 1000
"""The aim for the median: then healing forty streams once a second takes 4 % of a processor."""


def repeated(text: str) -> str:
    return text * (LENGTH // len(text) + 1)


def kinds() -> dict[str, str]:
    """Texts of more than `LENGTH` characters: typical answers, and very long blocks."""
    row = "| one | **two** | three |\n"
    return {
        "the bundled texts": texts()[-1],
        "one fence": "```py\n" + repeated("x = foo(bar)\n"),
        "a list of items": repeated("- item **bold** and `code`\n"),
        "a list in one item": "- a\n" + repeated("  - item **bold** and `code`\n"),
        "one paragraph": repeated("The cache is **warm** and `x` is [y](http://a.b), so what. "),
        "lines without a blank one": repeated("The cache is **warm** and `x` so what.\n"),
        "a quote": repeated("> hello *world* and\n"),
        "a table": "|a|b|c|\n|-|-|-|\n" + repeated(row),
        "a table in an item": "- a\n\n  |a|b|c|\n  |-|-|-|\n" + repeated(f"  {row}"),
        "many fences": repeated("text\n\n```py\nx = foo(bar)\n```\n\n"),
        "dense Chinese": repeated("缓存**预热**并且`x`。"),
    }


def measured(text: str, cuts: int = CUTS, rounds: int = 5) -> dict[str, float]:
    """The cost of one text, cut at many places."""
    took = [fastest(partial(healed, text[: LENGTH - 7 * cut]), rounds) * 1e6 for cut in range(cuts)]
    parsing = fastest(partial(parse, text[:LENGTH]), rounds) * 1e6
    return {
        "median": round(median(took)),
        "slowest": round(max(took)),
        "parsing": round(parsing),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    arguments = parser.parse_args()
    rows = {name: measured(text) for name, text in kinds().items()}
    if arguments.json:
        print(json.dumps(rows))
        return
    columns = ("median", "slowest", "parsing")
    print(f"µs for {LENGTH:,} characters{'':6}" + "".join(f"{name:>10}" for name in columns))
    for name, row in rows.items():
        print(f"{name:30}" + "".join(f"{row[column]:>10}" for column in columns))


if __name__ == "__main__":
    main()
