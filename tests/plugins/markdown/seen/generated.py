"""Markdown as people and models might write it, generated."""

from __future__ import annotations

from hypothesis import strategies as st

WORDS = [
    "word", "Sentence.", "snake_case_name", "2*3*4", "x < y", "a & b", "café", "слово", "汉字。",
    "שלום", "👨‍👩‍👧‍👦", "🇫🇷", "क्षि", "e\u0301", "@everyone", "<@U024BE7LH>", ":tada:", "C:\\new",
    "#tag", "1.", "-", "100%", "(paren)", "~", "|", "\\", "\\*", "\\\\\\*x\\*", "\\\\<", "&amp;", "https://a.bc/d_e?f=g",
    "end_", "_start", "!", "a" * 30,
]  # fmt: skip
words = st.sampled_from(WORDS)
plain = st.lists(words, min_size=1, max_size=6).map(" ".join)
code = st.sampled_from(
    ["x", "a_b", "f(x)", "a*b", "`` ` ``"[3:4] or "y", "**", "[k](v)", "two  sp"]
)
addresses = st.sampled_from(["http://x.yz/a_b", "https://e.org/?q=(1)*2", "https://ü.de/ß"])


def inline(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        inner.map("**{}**".format),
        inner.map("*{}*".format),
        inner.map("~~{}~~".format),
        inner.map("||{}||".format),
        code.map("`{}`".format),
        st.tuples(inner, addresses).map(lambda pair: f"[{pair[0]}]({pair[1]})"),
        st.lists(inner, min_size=2, max_size=4).map(" ".join),
        st.lists(inner, min_size=2, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map("\n".join),
    )


inlines = st.recursive(plain, inline, max_leaves=8)
items = st.lists(inlines.map(lambda text: text.replace("\n", " ")), min_size=1, max_size=4)
rows = st.lists(st.lists(plain, min_size=2, max_size=2), min_size=1, max_size=6)


def indented(text: str, prefix: str = "  ") -> str:
    return text.replace("\n", "\n" + prefix)


def table(cells: list[list[str]]) -> str:
    lines = ["| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in cells]
    return "\n".join([lines[0], "|---|--:|", *lines[1:]])


def block(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        inner.map(lambda text: "> " + indented(text, "> ")),
        inner.map(lambda text: "- " + indented(text)),
        inner.map(lambda text: "7. " + indented(text, "   ")),
        st.lists(inner, min_size=1, max_size=3).map("\n\n".join),
    )


leaves = st.one_of(
    inlines,
    st.tuples(st.integers(1, 6), inlines).map(lambda p: "#" * p[0] + " " + p[1].replace("\n", " ")),
    items.map(lambda texts: "\n".join(f"- {text}" for text in texts)),
    items.map(lambda texts: "\n".join(f"{n}. {text}" for n, text in enumerate(texts, 1))),
    items.map(lambda texts: "\n".join(f"- [x] {text}" for text in texts)),
    st.lists(plain, min_size=1, max_size=8).map(lambda ls: "```py\n" + "\n".join(ls) + "\n```"),
    rows.map(table),
    st.just("---"),
    st.just("<b>raw</b>"),
)
blocks = st.recursive(leaves, block, max_leaves=5)
documents = st.lists(blocks, min_size=1, max_size=5)

# -- what is wider than a message

LONG = [
    "word", "**bold** `code`", "&amp; x", "a  b", "c\\|d", "汉字", "👨‍👩‍👧‍👦", "שלום", "e\u0301",
    "x\ty", "v\u2028w", "[link](https://a.bc/d)",
]  # fmt: skip
long = st.lists(st.sampled_from(LONG), min_size=30, max_size=90).map(" ".join)
wide_rows = st.lists(
    st.one_of(long, words.map(lambda word: word.replace("|", ""))), min_size=2, max_size=5
)


def wide_table(cells: list[str], align: str) -> str:
    head = "|".join(f"Head{column}" for column in range(len(cells)))
    row = "|".join(cells)
    return f"|{head}|\n|{'|'.join([align] * len(cells))}|\n|{row}|\n|x|\n|{row}|"


sizeable = st.lists(
    st.one_of(
        st.builds(wide_table, wide_rows, st.sampled_from(["-", "-:", ":-:"])),
        long.map(lambda text: "```py\n" + text.replace(" ", "\n\t") + "\r\n```"),
        long.map(lambda text: "> - " + text.replace(" ", "\r\n>   ")),
        st.integers(100, 900).map(lambda size: f"see [it](ftp://{'a/' * size}) there"),
        st.integers(100, 900).map(lambda size: f"see https://a.bc/{'d/' * size} there"),
    ),
    min_size=1,
    max_size=3,
)
