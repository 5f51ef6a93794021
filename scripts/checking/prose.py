"""The prose of a Markdown source: everything else is blanked, and every line keeps its number.

Blocks, fences, formulas, numbers and citations are found by the one parser of the sources; here
only what Markdown itself would not show is taken out.
"""

import re

from book import sources

# Options that are read by a person; the others are names and paths.
SPOKEN = re.compile(r"^ *(?:alt|removed): *", re.MULTILINE)

COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
CODE = sources.CODE
TARGET = re.compile(
    r"(?<=\])\([^()\s]*(?:\([^()]*\)[^()\s]*)*(?:\s+\"[^\"]*\")?\)|(?<=\])\[[^\[\]]*\]"
)
TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<https?://[^<>\s]+>|https?://[^\s<>)]+")
ATTRIBUTES = re.compile(r"\{[:.#][^{}\n]*\}")
REFERENCE = re.compile(r"(?m)^ {0,3}\[[^\[\]]+\]:[^\n]*$")


def blank(text: str) -> str:
    """The same number of characters and lines, with nothing on them."""
    return re.sub(r"[^\n]", " ", text)


def erase(pattern: re.Pattern[str], text: str) -> str:
    """Blank every match."""
    return pattern.sub(lambda found: blank(found[0]), text)


def without_fences(text: str) -> str:
    """Blank front matter, comments, fenced code, formulas, and what a block says to the build."""
    page = sources.parse(text)
    body = page.text
    spans = [(fence.start, fence.end) for fence in page.fences]
    spans += [(found.start, found.end) for found in (*page.equations, *page.formulas)]
    for start, end in spans:
        body = body[:start] + blank(body[start:end]) + body[end:]
    for block in page.blocks:
        head = body[block.start : block.body_start]
        body = body[: block.start] + spoken(block, head) + body[block.body_start :]
    front = text[: len(text) - len(body)]
    return blank(front) + erase(COMMENT, body)


def spoken(block: sources.Block, head: str) -> str:
    """The head of a block with only the words that a reader meets: its title and its alt text."""
    first, _, rest = head.partition("\n")
    named = block.name in ("equation", "figure") or "|" not in first
    bar = len(first) if named else first.index("|") + 1
    kept = blank(first[:bar]) + first[bar:]
    if len(head) == len(first):
        return kept
    lines, speaking = [], False
    for line in rest.split("\n"):
        if found := SPOKEN.match(line):
            speaking = True
            lines.append(" " * found.end() + line[found.end() :])
        else:
            # A line that starts another option ends the words of the one before.
            speaking = speaking and not sources.OPTION.match(line)
            lines.append(line if speaking else blank(line))
    return "\n".join([kept, *lines])


def prose(text: str) -> str:
    """Only what is read as prose: no code, maths, bindings, citations, addresses or markup."""
    text = without_fences(text)
    patterns = (CODE, sources.NUMBER, sources.CITE, TARGET, TAG, ATTRIBUTES, REFERENCE)
    for pattern in patterns:
        text = erase(pattern, text)
    return text
