"""Read a page's Markdown: its blocks, equations, figures, numbers, citations, references, fences.

One scanner serves all: the Markdown extension replaces the pieces it finds, the checks and the
ledger list them. It needs neither mkdocs nor Python-Markdown.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from book.errors import Place, Problem

BLOCKS = {
    # name: (needs an argument, options, where it may stand)
    "equation": (True, ("check", "kind", "called")),
    "figure": (True, ("alt", "widget", "begin")),
    "predict": (False, ()),
    "answer": (False, ()),
    "break": (True, ("removed",)),
    "exercise": (False, ()),
    "solution": (False, ()),
    "note": (False, ()),
    "fold": (True, ()),
    "remember": (False, ()),
    "bibliography": (False, ()),
    "experiments": (False, ()),
    "trained": (False, ()),
    "exercises": (False, ()),
    "failure": (True, ()),
    "ledger": (False, ()),
    "modules": (False, ()),
    "companions": (False, ()),
    "script": (False, ()),
}
SPOKEN = ("predict", "answer", "break", "exercise", "solution", "note", "fold", "remember")
INSIDE = {"answer": "predict", "solution": "exercise"}

OPEN = re.compile(r"^(?P<indent> *)/{3,} *(?P<name>[A-Za-z][\w-]*) *(?:\| *(?P<argument>.*?))? *$")
CLOSE = re.compile(r"^ */{3,} *$")
FENCE = re.compile(r"^(?P<indent> *)(?P<mark>`{3,}|~{3,})(?P<info>[^`\n]*)$")
OPTION = re.compile(r"^ *(?P<key>[a-z]+): *(?P<value>.*)$")
HEADING = re.compile(r"^(?P<level>#{1,6}) +(?P<text>.+?)(?: +\{[^{}]*\})? *#* *$")
CODE = re.compile(
    r"(?<![`\\])(?P<ticks>`+)(?!`)(?P<code>(?:(?!\n[ \t]*\n).)+?)(?<!`)(?P=ticks)(?!`)", re.S
)
DISPLAY = re.compile(r"(?<!\\)\$\$(?P<tex>(?:(?!\n[ \t]*\n).)+?)\$\$", re.S)
INLINE = re.compile(
    r"(?<![\\$])\$(?![\s$])(?P<tex>(?:\\[\s\S]|[^$\\\n]|\n(?![ \t]*\n))+?)(?<!\s)\$(?![\d$])"
)
NUMBER = re.compile(r"(?<!\\)\[\[(?P<body>[^\[\]]+?)\]\]")
BINDING = re.compile(
    r"^(?P<experiment>[\w-]+/[\w-]+(?:\.gpu)?)#(?P<key>[^|#\s]+)\|(?P<spec>[^|]+)$"
)
CITE = re.compile(r"(?<!\\)\[(?P<body>@[^\[\]]+?)\](?!\()")
CITE_PART = re.compile(r"^@(?P<key>[A-Za-z][\w:/-]*)(?:, *(?P<locator>.+))?$", re.S)
SNIPPET = re.compile(r'^ *-+8<-+ +"(?P<source>[^"]+)" *$')
LABEL = re.compile(r"^[a-z0-9]+(?:-[a-z0-9]+)*$")
FIGURE_NAME = re.compile(r"^[\w-]+/[\w-]+(?:\.gpu)?$")
FRONT = re.compile(r"\A---[ \t]*\n(?P<yaml>.*?\n)---[ \t]*\n+", re.S)


@dataclass
class Block:
    """A `/// name | argument` block, from its first character to the end of its closing line."""

    name: str
    argument: str
    options: dict[str, str]
    place: Place
    start: int
    argument_start: int
    body_start: int
    indent: int
    parents: tuple[str, ...]
    body_end: int = -1
    end: int = -1
    depth_below: int = 0


@dataclass(frozen=True)
class Equation:
    """A displayed equation: a definition, or bound to a check."""

    name: str
    kind: str
    check: str
    tex: str
    place: Place
    start: int
    end: int
    indent: int
    called: str = ""
    """What people call it, for the search."""


@dataclass(frozen=True)
class Figure:
    """A figure drawn by the experiment of the same name."""

    name: str
    alt: str
    caption: str
    place: Place
    widget: str = ""
    """Name of what the reader may open in its place."""

    @property
    def chapter(self) -> str:
        """Folder of the experiment."""
        return self.name.partition("/")[0]

    @property
    def id(self) -> str:
        """Anchor on the page."""
        return "fig-" + self.name.replace("/", "-").replace(".", "-")

    @property
    def manifest(self) -> str:
        """Path of the manifest from the root of the repository."""
        return f"docs/figures/{self.name}.json"

    @property
    def experiment(self) -> str:
        """Path of the experiment from the root of the repository."""
        return f"scripts/experiments/{self.name.removesuffix('.gpu')}.py"


@dataclass(frozen=True)
class Number:
    """A number bound to a key of an experiment's results."""

    experiment: str
    key: str
    spec: str
    place: Place
    start: int
    end: int

    @property
    def manifest(self) -> str:
        """Path of the manifest from the root of the repository."""
        return f"docs/figures/{self.experiment}.json"


@dataclass(frozen=True)
class Given:
    """A constant that was chosen or is known, marked as such."""

    text: str
    place: Place
    start: int
    end: int


@dataclass(frozen=True)
class Citation:
    """One cited work at one place; `ordinal` counts the citations of this work on this page."""

    key: str
    locator: str
    ordinal: int
    place: Place


@dataclass(frozen=True)
class Reference:
    """A mention of an equation or a figure by its name."""

    kind: str
    name: str
    place: Place


@dataclass(frozen=True)
class Bracket:
    """Citations and references between one pair of brackets."""

    parts: tuple[Citation | Reference, ...]
    place: Place
    start: int
    end: int


@dataclass(frozen=True)
class Formula:
    """Inline TeX, or display TeX between double dollars."""

    tex: str
    display: bool
    place: Place
    start: int
    end: int


@dataclass(frozen=True)
class Fence:
    """A fenced block of code."""

    language: str
    info: str
    code: str
    source: str
    place: Place
    start: int
    end: int
    indent: int
    mark: str
    inside: tuple[str, ...]


@dataclass(frozen=True)
class Heading:
    """A heading and its level."""

    level: int
    text: str
    place: Place
    start: int


@dataclass
class Page:
    """What stands on one page, with the line of each thing, and what is wrong with it."""

    path: str
    text: str
    meta: dict[str, object] = field(default_factory=dict)
    offset: int = 0
    blocks: list[Block] = field(default_factory=list)
    equations: list[Equation] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    numbers: list[Number] = field(default_factory=list)
    givens: list[Given] = field(default_factory=list)
    brackets: list[Bracket] = field(default_factory=list)
    formulas: list[Formula] = field(default_factory=list)
    fences: list[Fence] = field(default_factory=list)
    headings: list[Heading] = field(default_factory=list)
    plain: str = ""
    """The text with all but its words blanked out: no code, formulas, numbers or citations."""
    problems: list[Problem] = field(default_factory=list)

    @property
    def stem(self) -> str:
        """Name of the file without folders and ending: the root name of the chapter."""
        return Path(self.path).stem

    @property
    def citations(self) -> list[Citation]:
        """All citations, in reading order."""
        return [p for b in self.brackets for p in b.parts if isinstance(p, Citation)]

    @property
    def references(self) -> list[Reference]:
        """All mentions of equations and figures, in reading order."""
        return [p for b in self.brackets for p in b.parts if isinstance(p, Reference)]

    @property
    def title(self) -> str:
        """Title of the page: from the front matter, or its first heading."""
        found = self.meta.get("title")
        if found:
            return str(found)
        return next((h.text for h in self.headings if h.level == 1), self.stem)

    def place(self, position: int) -> Place:
        """Page and line, as an editor counts it, of a position in the text."""
        return Place(self.path, self.text.count("\n", 0, position) + 1 + self.offset)

    def problem(self, position: int | Place, sentence: str) -> None:
        """Note something wrong."""
        place = position if isinstance(position, Place) else self.place(position)
        self.problems.append(Problem(place, sentence))


def parse_page(path: Path, docs: Path | None = None) -> Page:
    """Read a page from a file; places name it relative to `docs`, or to its folder's parent."""
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(docs).as_posix() if docs else f"{path.parent.name}/{path.name}"
    return parse(text, name)


def parse(text: str, path: str = "page.md", front_matter: bool = True, offset: int = 0) -> Page:
    """Read a page from its text; without front matter, `offset` lines stood before it."""
    page = Page(path, text, offset=offset)
    front = FRONT.match(text) if front_matter else None
    if front:
        try:
            page.meta = yaml.safe_load(front["yaml"]) or {}
        except yaml.YAMLError as error:
            page.problem(0, f"the front matter is not YAML: {str(error).splitlines()[0]}")
        page.offset = text.count("\n", 0, front.end())
        page.text = text[front.end() :]
    inline = _read_lines(page)
    _read_inline(page, inline)
    for kept in (page.numbers, page.givens, page.brackets, page.formulas):
        kept.sort(key=lambda item: item.start)
    _number_citations(page)
    return page


def _blank(text: str) -> str:
    """The same number of characters and lines, with nothing in them."""
    return re.sub(r"[^\n]", " ", text)


def _read_lines(page: Page) -> str:
    """Find fences, blocks and headings; return the text with all that is not prose blanked out."""
    lines = page.text.splitlines(keepends=True)
    prose = list(lines)
    position, index = 0, 0
    starts = []
    for line in lines:
        starts.append(position)
        position += len(line)
    starts.append(position)
    open_blocks: list[Block] = []
    while index < len(lines):
        line = lines[index].rstrip("\n")
        if fence := FENCE.match(line):
            index = _read_fence(page, fence, lines, prose, starts, index, open_blocks)
            continue
        if line.lstrip().startswith("<!--"):
            index = _skip_comment(lines, prose, index)
            continue
        if CLOSE.match(line):
            prose[index] = _blank(lines[index])
            if open_blocks:
                _close(page, open_blocks, starts[index], starts[index + 1])
            else:
                page.problem(starts[index], "/// closes a block that was never opened")
        elif opened := OPEN.match(line):
            index = _read_opening(page, opened, lines, prose, starts, index, open_blocks)
            continue
        elif open_blocks and open_blocks[-1].name == "equation":
            prose[index] = _blank(lines[index])
        elif heading := HEADING.match(line):
            page.headings.append(
                Heading(
                    len(heading["level"]),
                    heading["text"],
                    page.place(starts[index]),
                    starts[index],
                )
            )
        index += 1
    for block in open_blocks:
        page.problem(block.place, f"the {block.name} block is never closed with ///")
    page.blocks = [block for block in page.blocks if block.end >= 0]
    page.blocks.sort(key=lambda block: block.start)
    for block in page.blocks:
        _read_block(page, block)
    return "".join(prose)


def _skip_comment(lines: list[str], prose: list[str], index: int) -> int:
    """Blank an HTML comment that begins on this line; return the index of the line after it."""
    while index < len(lines):
        prose[index] = _blank(lines[index])
        index += 1
        if "-->" in lines[index - 1]:
            break
    return index


def _read_fence(page, fence, lines, prose, starts, index, open_blocks) -> int:
    """Take in a fenced block of code; return the index of the line after it."""
    mark, first = fence["mark"], index
    closing = re.compile(rf"^ *{re.escape(mark[0])}{{{len(mark)},}} *$")
    index += 1
    while index < len(lines) and not closing.match(lines[index].rstrip("\n")):
        index += 1
    if index == len(lines):
        page.problem(starts[first], "the code block is never closed")
    indent = len(fence["indent"])
    body = [
        line[indent:] if line[:indent].strip() == "" else line.lstrip()
        for line in lines[first + 1 : index]
    ]
    info = fence["info"].strip()
    language = re.match(r"\{? *\.?([\w+-]*)", info)
    content = [line for line in body if line.strip()]
    snippet = SNIPPET.match(content[0].rstrip("\n")) if len(content) == 1 else None
    end = starts[min(index + 1, len(lines))]
    for at in range(first, min(index + 1, len(lines))):
        prose[at] = _blank(lines[at])
    page.fences.append(
        Fence(
            language=language[1] if language else "",
            info=info,
            code="".join(body),
            source=snippet["source"] if snippet else "",
            place=page.place(starts[first]),
            start=starts[first],
            end=end,
            indent=indent,
            mark=mark,
            inside=tuple(block.name for block in open_blocks),
        )
    )
    return index + 1


def _read_opening(page, opened, lines, prose, starts, index, open_blocks) -> int:
    """Take in the line that opens a block and its options; return the index after them."""
    name = opened["name"]
    place = page.place(starts[index])
    indent = len(opened["indent"])
    at = opened.start("argument")
    title = at if at >= 0 and name in SPOKEN else len(lines[index])
    prose[index] = _blank(lines[index][:title]) + lines[index][title:]
    first = index
    index += 1
    options: dict[str, str] = {}
    key = None
    known = BLOCKS.get(name, (False, ()))[1]
    while index < len(lines):
        line = lines[index].rstrip("\n")
        if not line.strip() or len(line) - len(line.lstrip()) < indent + 4:
            break
        option = OPTION.match(line)
        if option and (key is None or option["key"] in known):
            key = option["key"]
            options[key] = option["value"].strip()
        elif key is None:
            break
        else:
            options[key] = f"{options[key]} {line.strip()}".strip()
        if key not in ("alt", "removed"):
            prose[index] = _blank(lines[index])
        index += 1
    options = {key: _unquote(value) for key, value in options.items()}
    if name not in BLOCKS:
        listed = ", ".join(sorted(BLOCKS))
        page.problem(place, f"there is no block called {name}; there are {listed}")
    block = Block(
        name=name,
        argument=(opened["argument"] or "").strip(),
        options=options,
        place=place,
        start=starts[first],
        argument_start=starts[first] + max(at, 0),
        body_start=starts[index],
        indent=indent,
        parents=tuple(block.name for block in open_blocks),
    )
    open_blocks.append(block)
    page.blocks.append(block)
    return index


def _unquote(value: str) -> str:
    """The text of an option without YAML's quotes or fold marks."""
    if value[:2] in ("> ", "| "):
        value = value[2:].strip()
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return value


def _close(page, open_blocks, body_end, end) -> None:
    block = open_blocks.pop()
    block.body_end, block.end = body_end, end
    if open_blocks:
        open_blocks[-1].depth_below = max(open_blocks[-1].depth_below, block.depth_below + 1)


def _read_block(page: Page, block: Block) -> None:
    """Check a block's head; enter it among the equations or figures."""
    if block.name not in BLOCKS:
        return
    needs, known = BLOCKS[block.name]
    if needs and not block.argument:
        page.problem(block.place, f"the {block.name} block needs a name or title after |")
    for key in block.options:
        if key not in known:
            allowed = f"it takes {', '.join(known)}" if known else "it takes none"
            page.problem(block.place, f"a {block.name} block has no option {key}; {allowed}")
    if block.name == "break" and not block.options.get("removed"):
        page.problem(block.place, "the break block needs an option removed: what was taken away")
    parent = INSIDE.get(block.name)
    if parent and (not block.parents or block.parents[-1] != parent):
        page.problem(block.place, f"a block of kind {block.name} stands only inside {parent}")
    body = page.text[block.body_start : block.body_end]
    if block.name == "equation":
        _read_equation(page, block, body)
    if block.name == "figure":
        _read_figure(page, block, body)


def _read_equation(page: Page, block: Block, body: str) -> None:
    check, kind = block.options.get("check", ""), block.options.get("kind", "")
    name = block.argument
    if not LABEL.match(name):
        page.problem(block.place, f"equation name {name!r} must be lower-case words joined by -")
    _read_once(page, block, "equation", page.equations)
    if bool(check) == bool(kind):
        page.problem(
            block.place,
            f"equation {name} needs a check (tests/equations/..::test_..) or kind: definition",
        )
    elif kind and kind != "definition":
        page.problem(block.place, f"equation {name}: the only kind is definition, not {kind}")
    tex = "\n".join(line.strip() for line in body.strip().splitlines())
    if not tex:
        page.problem(block.place, f"equation {name} is empty")
    if re.search(r"^\s*\$\$|\\(?:tag|label)\b", tex):
        page.problem(block.place, f"equation {name}: no $$, \\tag or \\label; the build numbers it")
    page.equations.append(
        Equation(
            name,
            kind,
            check,
            tex,
            block.place,
            block.start,
            block.end,
            block.indent,
            block.options.get("called", ""),
        )
    )


def _read_figure(page: Page, block: Block, body: str) -> None:
    if not FIGURE_NAME.match(block.argument):
        page.problem(block.place, f"figure name {block.argument!r} must be <chapter>/<experiment>")
    _read_once(page, block, "figure", page.figures)
    if not block.options.get("alt"):
        page.problem(block.place, f"figure {block.argument} has no alt text")
    page.figures.append(
        Figure(
            block.argument,
            block.options.get("alt", ""),
            body.strip(),
            block.place,
            block.options.get("widget", ""),
        )
    )


def _read_once(page: Page, block: Block, kind: str, before: list) -> None:
    """A name is that of one equation or figure of the page."""
    first = next((other for other in before if other.name == block.argument), None)
    if first:
        sentence = f"{kind} {first.name} stands twice on this page, first in line"
        page.problem(block.place, f"{sentence} {first.place.line}")


def _read_inline(page: Page, prose: str) -> None:
    """Find code spans, maths, numbers and brackets in the prose, in that order of precedence."""

    def take(pattern: re.Pattern[str], text: str, keep) -> str:
        def replace(match: re.Match[str]) -> str:
            keep(match)
            return _blank(match[0])

        return pattern.sub(replace, text)

    def formula(match: re.Match[str]) -> None:
        display = match[0].startswith("$$")
        if display and page.path.startswith("chapters/"):
            page.problem(match.start(), "write a displayed formula as an equation block, not in $$")
        tex = " ".join(match["tex"].split()) if not display else match["tex"].strip()
        page.formulas.append(
            Formula(tex, display, page.place(match.start()), match.start(), match.end())
        )

    prose = take(CODE, prose, lambda match: None)
    prose = take(DISPLAY, prose, formula)
    prose = take(INLINE, prose, formula)
    prose = take(NUMBER, prose, lambda match: _read_number(page, match))
    page.plain = take(CITE, prose, lambda match: _read_bracket(page, match))


def _read_number(page: Page, match: re.Match[str]) -> None:
    body, span = match["body"].strip(), (match.start(), match.end())
    place = page.place(match.start())
    kind, _, rest = body.partition("|")
    if kind.strip() == "given" and rest.strip():
        page.givens.append(Given(rest.strip(), place, *span))
    elif bound := BINDING.match(body):
        page.numbers.append(
            Number(bound["experiment"], bound["key"], bound["spec"].strip(), place, *span)
        )
    else:
        page.problem(
            place, f"[[{body}]] is neither [[chapter/experiment#key|format]] nor [[given|text]]"
        )


def _read_bracket(page: Page, match: re.Match[str]) -> None:
    place = page.place(match.start())
    parts: list[Citation | Reference] = []
    for part in match["body"].split(";"):
        cite = CITE_PART.match(part.strip())
        if not cite:
            page.problem(place, f"cannot read the citation [{match['body']}]")
            return
        kind, colon, name = cite["key"].partition(":")
        if colon:
            if kind not in ("eq", "fig"):
                page.problem(place, f"@{cite['key']}: a reference begins with eq: or fig:")
                return
            parts.append(Reference(kind, name, place))
        else:
            parts.append(Citation(cite["key"], " ".join((cite["locator"] or "").split()), 0, place))
    page.brackets.append(Bracket(tuple(parts), place, match.start(), match.end()))


def _number_citations(page: Page) -> None:
    """Count the citations of each work in reading order, so that each has an anchor of its own."""
    seen: dict[str, int] = {}
    for index, bracket in enumerate(page.brackets):
        parts: list[Citation | Reference] = []
        for part in bracket.parts:
            if isinstance(part, Citation):
                seen[part.key] = seen.get(part.key, 0) + 1
                part = Citation(part.key, part.locator, seen[part.key], part.place)
            parts.append(part)
        page.brackets[index] = Bracket(tuple(parts), bracket.place, bracket.start, bracket.end)
