"""One style sheet for all pages: the theme's, the plugins' and our own, less what nothing matches.

The theme's sheet knows every feature the theme has. A rule stays when its classes, ids and
attributes occur in a page or, as words, in a script of the site. In the theme's own script plain
words are names of variables and methods; there only words with a hyphen count.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

import tinycss2

from book.errors import BookError

SHEET = "assets/stylesheets/book.css"
THEME = ("main", "palette")
# The theme's script names these for content tabs; the book has none.
ABSENT = ("tabbed",)
# No script changes these.
FIXED = ("dir", "data-md-color-primary", "data-md-color-accent")
ATTRIBUTE = re.compile(r"\s([\w-]+)=\"([^\"]{0,60})\"")
Names = set[str | tuple[str, str]]


def shared(theme: Path, others: list[str]) -> list[str]:
    """Paths in the site of the sheets that are joined, in their order on a page."""
    found = []
    for name in THEME:
        files = sorted((theme / "assets" / "stylesheets").glob(f"{name}.*.min.css"))
        if len(files) != 1:
            raise BookError(f"the theme has {len(files)} style sheets named {name}")
        found.append(f"assets/stylesheets/{files[0].name}")
    return [*found, *others]


def relink(html: str, sheets: list[str]) -> str:
    """The page with one link in the place of the first of these sheets."""
    # Written by the theme's template, by mkdocs and by hooks, so with one kind of quotes.
    paths = "|".join(map(re.escape, sheets))
    link = re.compile(rf'<link rel="stylesheet" href="([^"]*?)(?:{paths})">\s*')
    first = link.search(html)
    if not first:
        return html
    one = f'<link rel="stylesheet" href="{first[1]}{SHEET}">'
    return html[: first.start()] + one + link.sub("", html[first.start() :])


def write(site: Path, sheets: list[str]) -> None:
    """Join the sheets of a built site into one; the parts leave it."""
    names = used(site)
    joined = []
    for sheet in sheets:
        file = site / sheet
        if not file.is_file():
            continue  # no page has formulas, say
        rules = tinycss2.parse_stylesheet(file.read_text(encoding="utf-8"), True, True)
        joined.append(moved("".join(lean(rules, names)), posixpath.dirname(sheet)))
        file.unlink()
        file.with_name(f"{file.name}.map").unlink(missing_ok=True)
    (site / SHEET).write_text("\n".join(joined) + "\n", encoding="utf-8")


def used(site: Path) -> Names:
    """Classes, ids and attributes in the pages, and all words in the scripts."""
    names: Names = set()
    for page in site.rglob("*.html"):
        for name, value in set(ATTRIBUTE.findall(page.read_text(encoding="utf-8"))):
            names.add((name, value))
            names.update(value.split() if name in ("class", "id") else ())
    for script in site.rglob("*.*js"):
        words = set(re.findall(r"[\w-]+", script.read_text(encoding="utf-8")))
        names |= {word for word in words if "-" in word} if ".min." in script.name else words
    return {name for name in names if not str(name).startswith(ABSENT)}


def moved(css: str, folder: str) -> str:
    """The rules with addresses as they are from the folder of the joined sheet."""
    here = posixpath.dirname(SHEET)

    def address(found: re.Match[str]) -> str:
        quote, path = found[1], found[2]
        if path.startswith(("data:", "#", "/")) or "://" in path:
            return found[0]
        return f"url({quote}{posixpath.relpath(posixpath.join(folder, path), here)}{quote})"

    return css if folder == here else re.sub(r"url\((['\"]?)([^'\")]*)\1\)", address, css)


def lean(rules: list, names: Names) -> Iterator[str]:
    """The rules that may match something, without comments and idle space."""
    for rule in rules:
        if rule.type == "at-rule":
            head = f"@{rule.at_keyword}{written(rule.prelude)}"
            if rule.content is None:
                yield f"{head};"
            elif rule.lower_at_keyword in ("media", "supports", "layer"):
                inside = tinycss2.parse_rule_list(rule.content, True, True)
                if kept := "".join(lean(inside, names)):
                    yield f"{head}{{{kept}}}"
            else:
                yield f"{head}{{{written(rule.content)}}}"
        elif rule.type == "qualified-rule":
            kept = ",".join(
                written(one).strip() for one in alternatives(rule.prelude) if may(one, names)
            )
            if kept:
                yield f"{kept}{{{written(rule.content).strip()}}}"


def written(tokens: list) -> str:
    """Tokens as text, with one space where there were many."""
    text = tinycss2.serialize([token for token in tokens if token.type != "comment"])
    return re.sub(r"\s+", " ", text)


def alternatives(prelude: list) -> Iterator[list]:
    """The selectors between the commas."""
    part: list = []
    for token in prelude:
        if token == ",":
            yield part
            part = []
        elif part or token.type != "whitespace":
            part.append(token)
    yield part


def may(selector: list, names: Names) -> bool:
    """Whether a selector may match; what stands in :not() or :is() is left alone."""
    before = None
    for token in selector:
        if token.type == "hash":
            wanted: str | tuple[str, str] = token.value
        elif token.type == "ident" and before == ".":
            wanted = token.value
        elif token.type == "[] block" and (pair := equality(token.content)):
            # A script may set any value it holds.
            wanted = pair[1] if pair[1] in names and pair[0] not in FIXED else pair
        else:
            before = token
            continue
        if wanted not in names:
            return False
        before = token
    return True


def equality(content: list) -> tuple[str, str] | None:
    """Name and value of an attribute selector that asks for one value."""
    parts = [token for token in content if token.type != "whitespace"]
    if len(parts) == 3 and parts[1] == "=" and parts[2].type in ("ident", "string"):
        return parts[0].value, parts[2].value
    return None
