"""`gateway explain`: the plan of a text, before anything is sent."""

from __future__ import annotations

import json
from functools import partial
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import attrs
import pytest
from pictures import PDF, png

from gateway_contrib.cli.explain.plans import ROOMS, explain, starts
from gateway_core import GatewayConfig, Instance, Limit, Part, Problem, Send, preview
from gateway_core.authors import hookimpl
from gateway_core.testing import FakeChannel, FakeSettings

CHANNELS = ("discord", "slack", "telegram")
LONG = "A sentence of some words & signs. " * 400
"""13,600 characters: four parts and more on every channel."""


class Page(HTMLParser):
    """What a browser would make of the page: its tags, and the texts of its bubbles."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.bubbles, self.headings = set(), [], []
        self.here, self.depth = None, 0
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if ("class", "said") in attrs:
            self.bubbles.append("")
            self.depth = 1
        elif self.depth and tag == "div":
            self.depth += 1
        self.here = tag

    def handle_endtag(self, tag):
        self.depth -= self.depth > 0 and tag == "div"
        self.here = None

    def handle_data(self, data):
        if self.depth:
            self.bubbles[-1] += data
        if self.here == "h2":
            self.headings.append(data)


@pytest.fixture
def explained(program):
    """The plans that `--json` prints, by instance."""

    def explain(*arguments):
        code, out, err = program("explain", *arguments, "--json")
        assert (0, []) == (code, err)
        return {plan["instance"]: plan for plan in json.loads(out)["plans"]}

    return explain


@pytest.mark.parametrize(
    ("channel", "limit"), [("discord", 2000), ("slack", 4000), ("telegram", 4096)]
)
def test_every_part_is_told_with_its_size_against_the_limit(explained, channel, limit):
    plan = explained(LONG, "--channel", channel)[channel]
    sizes = [piece["size"] for piece in plan["pieces"]]
    assert limit == plan["limit"]
    assert len(sizes) >= len(LONG) // limit
    assert all(0 < size <= limit for size in sizes)
    assert min(sizes[:-1]) > limit * 0.9


def test_slack_measures_bytes_of_the_escaped_text_and_shows_what_is_seen(explained):
    (piece,) = explained("é & ü", "--channel", "slack")["slack"]["pieces"]
    assert (len("é &amp; ü".encode()), "é & ü") == (piece["size"], piece["text"])


def test_discord_measures_utf_16(explained):
    (piece,) = explained("😀a", "--channel", "discord")["discord"]["pieces"]
    assert 3 == piece["size"]


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_spans_cover_the_source_but_for_white_space(explained, channel):
    spans = [p["span"] for p in explained(LONG, "--channel", channel)[channel]["pieces"]]
    edges = [0, *(edge for span in spans for edge in span), len(LONG)]
    gaps = zip(edges[::2], edges[1::2], strict=True)
    assert [""] * (len(spans) + 1) == [LONG[start:end].strip() for start, end in gaps]


def test_each_bucket_gives_a_token_a_part_and_the_last_part_has_its_time(explained):
    plan = explained(LONG, "--channel", "slack")["slack"]
    count = len(plan["pieces"])
    assert [(f"chat.postMessage:{ROOMS['slack']}", count)] == [
        (budget["bucket"], budget["tokens"]) for budget in plan["budgets"]
    ]
    assert [float(n) for n in range(count)] == [piece["at"] for piece in plan["pieces"]]
    assert count - 1 == plan["last_at"]


def test_the_room_decides_the_limits(explained):
    plan = explained("hi", "--channel", "telegram", "--room", "-1001")["telegram"]
    assert ["chat:-1001", "group:-1001", "bot"] == [b["bucket"] for b in plan["budgets"]]


def test_the_bound_that_is_nearest_is_told(explained, program):
    """Slack counts the blocks, Telegram the entities: a part may be full of these first."""
    styled = "**a** " * 900
    slack = explained(styled, "--channel", "slack")["slack"]["pieces"]
    telegram = explained(styled, "--channel", "telegram")["telegram"]["pieces"]
    assert "characters of blocks" == slack[0]["bounds"][0]["unit"]
    assert ["entities", 100] == [telegram[0]["bounds"][0][name] for name in ("unit", "size")]
    for piece in (*slack, *telegram):
        assert all(bound["size"] <= bound["limit"] for bound in piece["bounds"])
    code, out, _ = program("explain", styled, "--channel", "telegram")
    assert (0, True) == (code, "100% of entities" in out)


def test_losses_are_told_and_plain_text_loses_nothing(explained):
    table = "| a | b |\n|---|---|\n| 1 | 2 |"
    asked = explained(table, "--channel", "slack")["slack"]["pieces"][0]
    plain = explained(table, "--channel", "slack", "--format", "plain")["slack"]["pieces"][0]
    assert ["table shown in monospace"] == asked["degraded"]
    assert ([], table) == (plain["degraded"], plain["text"])


def test_losses_have_a_column_where_there_are_any(program):
    _, out, _ = program("explain", "| a | b |\n|---|---|\n| 1 | 2 |", "--channel", "slack")
    assert "degraded" in out
    _, out, _ = program("explain", "hi", "--channel", "slack")
    assert "degraded" not in out
    assert "…" not in out


def test_without_a_channel_all_that_are_installed_are_told(explained):
    assert CHANNELS == tuple(explained("hi"))


def test_the_settings_of_an_account_count(explained, tmp_path):
    with (tmp_path / "gateway.toml").open("a") as config:
        config.write("part_bytes = 100\npost_seconds = 3.0\n")
    plan = explained("word " * 50, "--instance", "bot")["bot"]
    assert (100, 3) == (plan["limit"], len(plan["pieces"]))
    assert 6.0 == plan["last_at"]
    assert {"bot": plan} == explained("word " * 50, "--config", "gateway.toml")


def test_people_get_a_table(program, tmp_path):
    (tmp_path / "answer.md").write_text(LONG)
    code, out, err = program("explain", "--channel", "slack", "--file", "answer.md")
    assert (0, []) == (code, err)
    assert "slack (slack): bytes, at most 4,000" in out
    assert "chat.postMessage:C0000000000: takes 4, allows 1 in 1 s (even)" in out
    assert "the last part is out after 3 s on an idle account" in out


def test_people_see_where_a_part_begins_and_what_it_loses(program, monkeypatch):
    """In a narrow terminal too: words are not broken to fit beside the numbers."""
    monkeypatch.setenv("COLUMNS", "80")
    text = "# Hello\n\n||hidden|| ![](https://a.bc/d.png)\n\n> a\n> > b"
    code, out, _ = program("explain", text, "--channel", "slack")
    assert (0, True) == (code, "Hello hidden https://a.bc/" in out)
    lost = " ".join(out.partition("degraded: ")[2].partition("chat.")[0].split())
    told = (
        "spoiler shown openly",
        "image shown as a link",
        "nested quote joined with its outer one",
    )
    assert "; ".join(told) == lost
    assert all(len(line) <= 80 for line in out.splitlines())


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("hi", "--channel", "slack", "--room", "nowhere!"), "slack: external_room_id: "),
        (("", "--channel", "slack"), "slack: text: "),
        (("hi " * 50_000, "--channel", "discord"), "text: needs 75 messages, at most 50"),
    ],
)
def test_what_would_be_refused_is_told_so(program, arguments, why):
    code, _, err = program("explain", *arguments)
    assert 2 == code
    assert err[-1].startswith("gateway: would be refused: ")
    assert why in err[-1]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--channel", "slack"), "gateway: give either a TEXT or --file"),
        (
            ("hi", "--instance", "other"),
            "gateway: there is no instance 'other'; configured: bot (slack)",
        ),
        (
            ("hi", "--instance", "bot", "--channel", "discord"),
            "there is no instance 'bot' on channel 'discord'; configured: bot (slack)",
        ),
        (("hi", "--channel", "irc"), "--channel: no plugin serves 'irc'; installed: discord,"),
    ],
)
def test_a_wrong_command_is_one_line(program, arguments, line):
    code, out, err = program("explain", *arguments)
    assert (2, "", 1) == (code, out, len(err))
    assert line in err[0]


def test_what_a_terminal_would_obey_is_spelled_out_in_json(program):
    text = "a\u009b31mred\u0085 \u202eb \x7f 😀 é"
    code, out, _ = program("explain", text, "--channel", "telegram", "--json")
    assert 0 == code
    assert "".join(out.split("\n")).isprintable()
    assert "\\u009b31mred" in out
    assert "😀 é" in out
    assert "\x9b31mred" in json.dumps(json.loads(out), ensure_ascii=False)


def test_a_channel_that_needs_more_than_a_token_is_left_out_with_a_line(program, monkeypatch):
    monkeypatch.setattr("gateway_contrib.cli.explain.command.TOKENS", {"slack": "xoxb-1"})
    code, out, err = program("explain", "hi", "--json")
    assert (0, ["slack"]) == (code, [plan["channel"] for plan in json.loads(out)["plans"]])
    assert ["gateway: discord needs --config", "gateway: telegram needs --config"] == [
        line.partition(": instances")[0] for line in err
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"message": "{}"},
        {"msgtype": "m.text", "body": "{}", "formatted_body": "<b>{}</b>"},
        {"post": {"parts": [{"kind": "a long word that is none of it"}, "{}"]}},
    ],
    ids=["another name", "beside its form", "deeper"],
)
def test_the_text_of_another_channel_is_found(fields, monkeypatch):
    class Own(FakeChannel):
        @hookimpl
        def chunk(self, envelope):
            return [
                Part(payload=filled(fields, envelope.text[start:end]), span=(start, end))
                for start, end in ((0, 6), (6, 12))
            ]

    asked = partial(preview, plugins=[("own", Own())])
    monkeypatch.setattr("gateway_contrib.cli.explain.plans.preview", asked)
    send = Send(instance_id="bot", external_room_id="r", text="hello world!")
    plan = explain(Instance("bot", "own", FakeSettings()), send, GatewayConfig())
    assert [("hello ", 6), ("world!", 6)] == [(piece.text, piece.size) for piece in plan.pieces]
    assert ["hello ", "world!"] == [line.text for piece in plan.pieces for line in piece.lines]


def filled(fields, text):
    """The fields with the text in the place of each `{}`."""
    return json.loads(json.dumps(fields).replace("{}", text))


def test_the_page_shows_the_parts_side_by_side(program, tmp_path):
    (tmp_path / "answer.md").write_text(LONG)
    code, _, _ = program("explain", "--file", "answer.md", "--html", "out.html")
    page = Page((tmp_path / "out.html").read_text())
    assert (0, list(CHANNELS)) == (code, page.headings)
    assert 4 + 4 + 7 <= len(page.bubbles)
    assert "".join(LONG.split()) * 2 == "".join("".join(page.bubbles[-8:]).split())


def test_what_the_text_holds_is_text_on_the_page(program, tmp_path):
    evil = "</pre><script>alert(1)</script>&amp;<img src=x onerror=alert(1)>"
    arguments = (evil, "--format", "plain", "--html", "out.html")
    assert 0 == program("explain", *arguments)[0]
    page = Page((tmp_path / "out.html").read_text())
    assert not {"script", "img"} & page.tags
    assert [evil, evil] == page.bubbles[1:]
    assert "<script" not in (tmp_path / "out.html").read_text()


def test_the_page_shows_looks(program, tmp_path):
    """Bold is bold on each channel, though each says so otherwise."""
    assert 0 == program("explain", "**b** `c` ~~d~~", "--html", "out.html")[0]
    page = (tmp_path / "out.html").read_text()
    for mark in ("<b>b</b>", "<code>c</code>", "<s>d</s>"):
        assert len(CHANNELS) == page.count(mark)


def test_the_messages_are_drawn(program, tmp_path):
    (tmp_path / "answer.md").write_text(LONG)
    assert 0 == program("explain", "--file", "answer.md", "--svg", "out.svg")[0]
    root = ET.parse(tmp_path / "out.svg").getroot()  # noqa: S314 - made by us
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert [name.capitalize() for name in CHANNELS] == [t for t in texts if t.lower() in CHANNELS]
    assert LONG.count("words") * len(CHANNELS) == sum(text.count("words") for text in texts)


def test_what_no_picture_may_have_is_replaced_in_it(program, tmp_path):
    odd = "a\ufffeb\uffffc\x01d\x85e"
    assert 0 == program("explain", odd, "--channel", "telegram", "--svg", "out.svg")[0]
    root = ET.parse(tmp_path / "out.svg").getroot()  # noqa: S314 - made by us
    drawn = "".join(text.text for text in root.iter("{http://www.w3.org/2000/svg}text"))
    assert "a\ufffdb\ufffdc" in drawn


@pytest.fixture
def attached(tmp_path):
    """Pictures and a document, as options of the command."""
    for n in (1, 2):
        (tmp_path / f"{n}.png").write_bytes(png(30 * n, 20))
    (tmp_path / "a<b>.pdf").write_bytes(PDF)
    names = ("1.png", "2.png", "a<b>.pdf")
    return tuple(word for name in names for word in ("--file-attach", name))


def test_files_are_told_with_the_messages_that_they_go_with(explained, attached):
    plans = explained(*attached, "--caption", "**Cats**")
    told = {
        name: [
            (piece["text"], [(file["kind"], file["name"]) for file in piece["files"]])
            for piece in plan["pieces"]
        ]
        for name, plan in plans.items()
    }
    pictures, pdf = [("image", "1.png"), ("image", "2.png")], ("file", "a<b>.pdf")
    photos = [("photo", "1.png"), ("photo", "2.png")]
    assert {
        "discord": [("Cats", [*pictures, pdf])],
        "slack": [("Cats", [*pictures, pdf])],
        "telegram": [("", photos), ("Cats", [("document", "a<b>.pdf")])],
    } == told
    album, caption = plans["telegram"]["pieces"]
    assert (30, 20) == (album["files"][0]["width"], album["files"][0]["height"])
    assert [1024] == [bound["limit"] for bound in caption["bounds"] if bound["size"]]
    chat = [each for each in plans["telegram"]["budgets"] if each["bucket"].startswith("chat:")]
    assert [3] == [budget["tokens"] for budget in chat]


def test_files_as_documents_are_told_as_such(explained, attached):
    plan = explained(*attached[:2], "--as-document", "--channel", "telegram")["telegram"]
    [piece] = plan["pieces"]
    assert [("document", "1.png")] == [(file["kind"], file["name"]) for file in piece["files"]]


def test_slack_s_budget_of_files_counts_each_once(explained, attached):
    budgets = explained(*attached, "--channel", "slack")["slack"]["budgets"]
    assert [("files.getUploadURLExternal", 3)] == [(b["bucket"], b["tokens"]) for b in budgets]


def test_files_are_seen_in_text_on_the_page_and_in_the_picture(program, attached, tmp_path):
    to = ("--html", "page.html", "--svg", "picture.svg")
    code, out, err = program("explain", *attached, "--caption", "**Cats**", *to)
    assert (0, []) == (code, err)
    assert "photo 1.png, 30 × 20" in out
    page = (tmp_path / "page.html").read_text()
    assert "a&lt;b&gt;.pdf" in page
    assert "a<b>.pdf" not in page
    assert 3 == page.count('<div class="files">') - 1
    picture = ET.parse(tmp_path / "picture.svg")  # noqa: S314 - it is our own
    words = "".join(text for text in picture.getroot().itertext())
    assert 3 == words.count("1.png")


def test_a_text_that_is_no_caption_any_more_stands_apart(explained, attached):
    plan = explained(*attached[:2], "--caption", "long " * 400, "--channel", "telegram")
    first, second = plan["telegram"]["pieces"]
    assert (["1.png"], []) == tuple([file["name"] for file in p["files"]] for p in (first, second))
    assert ("", 1999) == (first["text"], len(second["text"]))


def test_a_file_that_a_channel_does_not_take_is_told(program, attached):
    code, _, err = program("explain", "--file-attach", "no.png", "--channel", "slack")
    assert (2, True) == (code, "files.0: " in err[-1])


def test_policies_are_asked_too(program, tmp_path, monkeypatch):
    """What a policy refuses or limits is told as a gateway would do it."""

    class Policy:
        @hookimpl
        def validate(self, envelope):
            return [Problem("text", "too loud")] if envelope.text.isupper() else []

        @hookimpl
        def rate_limit(self):
            return [Limit("mine", 1, 9.0)]

    asked = partial(preview, plugins=[Policy()])
    monkeypatch.setattr("gateway_contrib.cli.explain.plans.preview", asked)
    code, _, err = program("explain", "HI", "--channel", "slack")
    assert (2, True) == (code, "text: too loud" in err[-1])
    code, out, _ = program("explain", LONG, "--channel", "slack")
    assert "mine: takes 4, allows 1 in 9 s" in out
    assert "the last part is out after 27 s" in out


def test_what_policies_change_is_told_beside_what_was_asked_for(program, monkeypatch):
    class Policy:
        @hookimpl
        def rewrite(self, envelope):
            if envelope.text.endswith(" - us"):
                return None
            return attrs.evolve(
                envelope, text=envelope.text + " - us", external_room_id="C0000000002"
            )

    asked = partial(preview, plugins=[Policy()])
    monkeypatch.setattr("gateway_contrib.cli.explain.plans.preview", asked)
    words = ("explain", "hello", "--channel", "slack", "--room", "C0000000001")
    code, out, _ = program(*words)
    assert 0 == code
    assert "policies: it goes to 'C0000000002' instead of 'C0000000001'" in out
    assert "policies: from character 5 on, '' becomes ' - us'" in out
    code, out, _ = program(*words, "--json")
    (plan,) = json.loads(out)["plans"]
    assert ("C0000000001", "hello") == (plan["asked_room"], plan["asked_text"])
    assert ("C0000000002", "hello - us") == (plan["room"], plan["text"])
    assert ["hello - us"] == [piece["text"] for piece in plan["pieces"]]


def test_the_page_names_the_account_and_the_refusal(program, tmp_path):
    arguments = ("hi", "--instance", "bot", "--room", "<b>!", "--html", "out.html")
    assert 2 == program("explain", *arguments)[0]
    page = (tmp_path / "out.html").read_text()
    assert "<h2>slack</h2><div>bot</div>" in page
    assert 'class="refused"' in page
    assert "b" not in Page(page).tags


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ([], [0, 0, 0, 0]),
        ([Limit("a")], [0, 1, 2, 3]),
        ([Limit("a", 2, 1.0)], [0, 0.5, 1, 1.5]),
        ([Limit("a", 3, 60, "window")], [0, 0, 0, 60]),
        ([Limit("a", 3, 60, "window"), Limit("b")], [0, 1, 2, 60]),
    ],
)
def test_when_each_part_may_start(limits, expected):
    assert expected == starts(limits, [1] * 4)


@pytest.mark.parametrize("program", CHANNELS, indirect=True)
def test_a_real_send_makes_the_same_parts_at_the_same_times(program, explained, tmp_path):
    """What is explained is what a gateway does with an emulated platform that answers at once."""
    (tmp_path / "answer.md").write_text(LONG)
    plan = explained("--file", "answer.md", "--instance", "bot")["bot"]
    where = ("--instance", "bot", "--room", ROOMS[program.channel], "--file", "answer.md")
    code, _, err = program("send", *where)
    assert (0, []) == (code, err)
    (room,) = program.emulator.rooms.names()
    arrived = program.emulator.rooms.conversation(room)
    began = arrived[0].stored_at
    assert len(plan["pieces"]) == len(arrived)
    assert [piece["at"] for piece in plan["pieces"]] == pytest.approx(
        [message.stored_at - began for message in arrived], abs=0.05
    )


def test_the_log_of_a_plugin_s_mistake_stays_out_of_what_is_printed(program, tmp_path, monkeypatch):
    """Who pipes the JSON on gets JSON or nothing."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "gateway_policy_words.py").write_text(
        "from gateway_core.authors import hookimpl\n"
        "GATEWAY_CONTRACT = 1\n"
        "@hookimpl\n"
        "def validate(envelope): return 'bad'\n"
    )
    about = tmp_path / "words-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: words\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[gateway_policy]\nwords = gateway_policy_words\n")
    code, out, err = program("explain", "hi", "--channel", "slack", "--json")
    assert (2, "") == (code, out)
    assert "gateway.hook_failed" in err[0]
    assert "hook validate: answered with str, expected Problem" in err[1]
