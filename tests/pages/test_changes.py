"""The feed says what the page of changes says, and the page keeps its form."""

import xml.etree.ElementTree as etree

import pytest

from book import changes

PAGE = """---
title: Changes
description: News.
---

# Changes

Text before.

## 2026-11-21: A <new> thing & more

The *first* thing is [here](chapters/one.md), at [[given|0.5]].

More of it.

## 2026-11-20: The beginning

It began.
"""
ATOM = "{http://www.w3.org/2005/Atom}"


def load(shelf, text=PAGE):
    volume = shelf.load(text, "changes.md")
    volume.urls = {"changes.md": "changes/"}
    return volume


def test_the_feed_holds_the_entries_in_order(shelf):
    text = changes.feed(load(shelf), "From Noise", "Somebody", "https://example.org/book")
    root = etree.fromstring(text)
    assert root.findtext(f"{ATOM}updated") == "2026-11-21T00:00:00Z"
    assert root.findtext(f"{ATOM}author/{ATOM}name") == "Somebody"
    links = {link.get("rel"): link.get("href") for link in root.findall(f"{ATOM}link")}
    assert links == {
        "alternate": "https://example.org/book/changes/",
        "self": "https://example.org/book/feed.xml",
    }
    first, second = root.findall(f"{ATOM}entry")
    assert first.findtext(f"{ATOM}title") == "A <new> thing & more"
    assert first.findtext(f"{ATOM}summary") == "The first thing is here, at 0.5. More of it."
    assert first.find(f"{ATOM}link").get("href") == (
        "https://example.org/book/changes/#2026-11-21-a-new-thing-more"
    )
    assert second.findtext(f"{ATOM}updated") == "2026-11-20T00:00:00Z"
    assert second.findtext(f"{ATOM}id") != first.findtext(f"{ATOM}id")


def test_a_change_keeps_its_id_when_the_site_moves_or_its_text_is_mended(shelf):
    here = changes.feed(load(shelf), "From Noise", "Somebody")
    there = changes.feed(
        load(shelf, PAGE.replace("It began.", "It began at once.")),
        "From Noise",
        "S",
        "https://x.org",
    )
    ids = [[e.text for e in etree.fromstring(text).iter(f"{ATOM}id")] for text in (here, there)]
    assert ids[0] == ids[1]


def test_the_same_page_makes_the_same_feed(shelf):
    assert changes.feed(load(shelf), "F", "S") == changes.feed(load(shelf), "F", "S")


def test_no_page_and_no_entries_make_no_feed(shelf):
    assert changes.feed(shelf.load("# T\n"), "F", "S") == ""
    assert changes.feed(load(shelf, "# Changes\n\nNone.\n"), "F", "S") == ""
    assert changes.read(load(shelf, "# Changes\n\nNone.\n")) == ([], [])


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ("## 2026-11-20: The", "## The", "head a change as in"),
        ("## 2026-11-20: The", "## 2026-13-20: The", "head a change as in"),
        ("## 2026-11-20: The", "## 2026-11-22: The", "the newest change stands first"),
        ("It began.\n", "", "a change says nothing"),
        (
            "## 2026-11-20: The beginning",
            "## 2026-11-21: A <new> thing & more",
            "a change stands twice",
        ),
    ],
)
def test_a_fault_in_the_form_is_told(shelf, old, new, sentence):
    assert changes.read(load(shelf))[1] == []
    assert PAGE.count(old) == 1
    [problem] = changes.read(load(shelf, PAGE.replace(old, new)))[1]
    assert problem.sentence.startswith(sentence)
    assert problem.place.path == "changes.md"
