"""The boxes of a chapter as pymdownx blocks; the preprocessor hands each its parsed head."""

import xml.etree.ElementTree as etree

from pymdownx.blocks import BlocksExtension
from pymdownx.blocks.block import Block


class Box(Block):
    """A block whose argument is the number of its head among those the preprocessor found."""

    NAME = ""
    ARGUMENT = True

    @property
    def head(self):
        """What the preprocessor knows of this block: title, options, number."""
        return self.md.book_heads[int(self.argument)]

    def on_add(self, block):
        """Content goes to the innermost marked element, or to the box itself."""
        inner = block.find(".//*[@data-content]")
        return block if inner is None else inner

    def on_end(self, block):
        """The mark of the content's place is not for the reader."""
        inner = block.find(".//*[@data-content]")
        if inner is not None:
            del inner.attrib["data-content"]

    def box(self, parent, tag="div", **attributes):
        """The element of the box."""
        return etree.SubElement(parent, tag, {"class": self.NAME, **attributes})

    def label(self, box, text, name="label", tag="p"):
        """A line at the head of the box."""
        line = etree.SubElement(box, tag, {"class": name})
        line.text = text
        return line


class Details(Box):
    """A box that the reader opens."""

    SUMMARY = ""

    def on_create(self, parent):
        box = self.box(parent, "details")
        etree.SubElement(box, "summary").text = self.head.title or self.SUMMARY
        return box


class Answer(Details):
    NAME, SUMMARY = "answer", "Answer"


class Solution(Details):
    NAME, SUMMARY = "solution", "Solution"


class Fold(Details):
    NAME, SUMMARY = "fold", "In full"


class Predict(Box):
    NAME = "predict"

    def on_create(self, parent):
        box = self.box(parent)
        self.label(box, self.head.title or "Predict first")
        return box


class Break(Box):
    """Whole on the left, broken on the right, and between them the part that was removed."""

    NAME = "break"

    def on_create(self, parent):
        box = self.box(parent, role="group", id=self.head.id)
        self.label(box, self.head.title, "label break-title")
        head = etree.SubElement(box, "div", {"class": "break-head"})
        self.label(head, "Whole", "break-whole", "span")
        removed = self.head.options.get("removed", "")
        self.label(head, removed, "break-removed", "span")
        self.label(head, "Broken", "break-broken", "span")
        return box


class Failure(Box):
    """A break told on a card: its title leads to it."""

    NAME = "failure"

    def on_create(self, parent):
        box = self.box(parent, "section", id=self.head.id)
        title = etree.SubElement(box, "h3", {"class": "label failure-title"})
        etree.SubElement(title, "a", {"href": self.head.href}).text = self.head.title
        removed = self.label(box, "Removed: ", "failure-removed")
        etree.SubElement(removed, "span").text = self.head.options["removed"]
        return box


class Exercise(Box):
    NAME = "exercise"

    def on_create(self, parent):
        box = self.box(parent, id=self.head.id)
        title = f". {self.head.title}" if self.head.title else ""
        self.label(box, f"Exercise {self.head.number}{title}", "label exercise-title")
        return box


class Note(Box):
    NAME = "note"

    def on_create(self, parent):
        return self.box(parent, role="note")


class Remember(Box):
    NAME = "remember"

    def on_create(self, parent):
        box = self.box(parent)
        self.label(box, self.head.title or "What to remember")
        return box


class FigureBox(Box):
    NAME = "figure"

    def on_create(self, parent):
        head = self.head
        box = self.box(parent, "figure", id=head.id, **{"data-experiment": head.experiment})
        drawing = etree.SubElement(box, "div", {"class": "drawing"})
        for mode, source in head.images.items():
            image = {"class": mode, "src": source, "alt": head.alt, "loading": "lazy"}
            etree.SubElement(drawing, "img", image | head.size)
        if head.widget:
            box.set("data-widget", head.widget)
            if "begin" in head.options:
                box.set("data-begin", head.options["begin"])
            bar = etree.SubElement(box, "p", {"class": "widget-bar", "data-search-exclude": ""})
            button = etree.SubElement(bar, "button", {"type": "button", "class": "widget-open"})
            button.text = "Try it yourself"
        etree.SubElement(box, "figcaption", {"data-content": ""})
        return box


class ScriptBox(Details):
    NAME, SUMMARY = "script", "Copy this chapter as one script"

    def box(self, parent, tag="details", **attributes):
        return super().box(
            parent, tag, **attributes | {"class": "chapter-script", "data-search-exclude": ""}
        )


BOXES = (
    Answer,
    Solution,
    Fold,
    Predict,
    Break,
    Failure,
    Exercise,
    Note,
    Remember,
    FigureBox,
    ScriptBox,
)


class BoxesExtension(BlocksExtension):
    """Registers the boxes."""

    def extendMarkdownBlocks(self, md, block_mgr):
        for box in BOXES:
            block_mgr.register(box, {})
