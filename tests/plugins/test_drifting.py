"""The table of requests also watches what goes out as a streamed form."""

import drifting

from gateway_core.http import FormField, Multipart, RawBody

SEND = {"methods": {"send": {"chat": "whole text", "bold": "list", "file": "file"}}}


def drift(monkeypatch, *fields):
    monkeypatch.setitem(drifting.TABLE, "post", SEND)
    return drifting.drift("post", "send", drifting.fields_of(Multipart(fields)))


def test_a_form_as_the_platform_documents_it_is_no_drift(monkeypatch):
    """In a form every value is a text, and JSON where the platform wants a list."""
    chat, bold = FormField("chat", "1000"), FormField("bold", "[1]")
    assert [] == drift(monkeypatch, chat, bold, FormField("file1", b"x", filename="x"))


def test_fields_that_the_platform_does_not_know_are_drift(monkeypatch):
    chat, bold = FormField("chat", b"x", filename="x"), FormField("bold", "yes")
    lines = drift(monkeypatch, chat, bold, FormField("more", "1"))
    assert ["chat", "bold", "more"] == [line.split(": ")[1].split()[0] for line in lines]


def test_discords_json_is_looked_into(monkeypatch):
    payload = FormField("payload_json", '{"chat": 1, "bold": "no"}')
    [line] = drift(monkeypatch, payload)
    assert "bold = 'no'" in line


def test_bytes_alone_have_no_fields():
    assert {} == drifting.fields_of(RawBody(b"x")) == drifting.fields_of(None)
