"""Each page is whole: front matter, language, policy, one id once, headings in order."""

from collections.abc import Iterator

from book import sources
from checking.book import Book, Fault, Page

# A block of data is not run, whatever the policy says.
DATA_TYPES = frozenset({"application/json", "application/ld+json", "text/plain"})
SCRIPT_ATTRIBUTES = ("href", "src", "action", "formaction", "data", "xlink:href")


def check(book: Book) -> Iterator[Fault]:
    """Faults of the pages taken one by one."""
    yield from front_matter(book)
    for page in book.pages:
        yield from head(page)
        yield from policy(page)
        yield from scripts(page)
        yield from ids(page)
        yield from headings(page)
        yield from images(page)


def front_matter(book: Book) -> Iterator[Fault]:
    """A source says its title and description; the theme would fill in those of the whole site."""
    for source in book.markdown:
        if "overrides" in source.relative_to(book.docs).parts:
            continue
        meta = sources.parse(source.read_text(encoding="utf-8")).meta
        for name in ("title", "description"):
            if not isinstance(meta, dict) or not str(meta.get(name) or "").strip():
                yield book.fault(source, 1, "front-matter", f"the front matter has no {name}")


def head(page: Page) -> Iterator[Fault]:
    """Language, title and description."""
    if not (page.tree.get("lang") or "").strip():
        yield page.fault(page.tree, "lang-missing", "the html element has no lang")
    titles = [title for title in page.all("//head/title") if title.text_content().strip()]
    if len(titles) != 1:
        yield page.fault(None, "title-missing", f"a page has one title, this one has {len(titles)}")
    contents = page.all("//head/meta[@name='description']/@content")
    if not any(content.strip() for content in contents):
        yield page.fault(None, "description-missing", "the page has no description")


def policy(page: Page) -> Iterator[Fault]:
    """A content-security policy that lets nothing inline and nothing foreign run."""
    found = page.all("//head/meta[@http-equiv='Content-Security-Policy']")
    if not found:
        yield page.fault(None, "csp-missing", "the page has no content-security policy")
        return
    meta = found[0]
    if page.all("//script[following::meta[@http-equiv='Content-Security-Policy']]"):
        yield page.fault(meta, "csp-late", "a script stands before the policy and escapes it")
    rules = {
        words[0].lower(): words[1:]
        for rule in (meta.get("content") or "").split(";")
        if (words := rule.split())
    }
    if "default-src" not in rules:
        yield page.fault(meta, "csp-open", "the policy has no default-src")
    for name, values in rules.items():
        scripted = name in ("default-src", "script-src", "script-src-elem", "script-src-attr")
        for value in values:
            if scripted and value in ("'unsafe-inline'", "'unsafe-eval'", "'unsafe-hashes'"):
                yield page.fault(meta, "csp-open", f"the policy allows {value} in {name}")
            elif "." in value or value in ("*", "http:", "https:"):
                yield page.fault(meta, "csp-open", f"the policy lets {name} load from {value}")


def scripts(page: Page) -> Iterator[Fault]:
    """No script in the page itself: no element, handler or address that runs."""
    for script in page.all("//script[not(@src)]"):
        kind = (script.get("type") or "").strip().lower()
        if kind not in DATA_TYPES:
            yield page.fault(script, "script-inline", "a script stands inline in the page")
    for element in page.all("//*[@*[starts-with(name(), 'on')]]"):
        for name in element.attrib:
            if str(name).startswith("on"):
                yield page.fault(element, "script-inline", f"a handler stands inline: {name}")
    for name in SCRIPT_ATTRIBUTES:
        for element in page.all(f"//*[@*[name()='{name}']]"):
            address = "".join((element.get(name) or "").split()).lower()
            if address.startswith(("javascript:", "vbscript:", "data:text/html")):
                yield page.fault(element, "script-inline", f"an address that runs: {address[:40]}")


def ids(page: Page) -> Iterator[Fault]:
    """An id names one element."""
    for name, times in page.ids.items():
        if times > 1:
            second = [e for e in page.all("//*[@id]") if e.get("id") == name][1]
            yield page.fault(second, "id-duplicate", f"the id {name!r} stands {times} times")
        elif not name.strip():
            yield page.fault(None, "id-duplicate", "an id is empty")


def headings(page: Page) -> Iterator[Fault]:
    """One first-level heading, and no level skipped on the way down."""
    mains = page.all("//main") or page.all("//body")
    found = mains[0].xpath(".//h1|.//h2|.//h3|.//h4|.//h5|.//h6") if mains else []
    levels = [int(heading.tag[1]) for heading in found]
    if levels.count(1) != 1:
        count = levels.count(1)
        yield page.fault(None, "heading-order", f"a page has one h1, this one has {count}")
    above = 0
    for heading, level in zip(found, levels, strict=True):
        if level > above + 1:
            text = " ".join(heading.text_content().split())[:50]
            sentence = f"h{level} {text!r} follows h{above}" if above else f"the first is h{level}"
            yield page.fault(heading, "heading-order", sentence)
        above = level


def images(page: Page) -> Iterator[Fault]:
    """An image says its size, so that nothing moves when it arrives, and what it shows."""
    for image in page.all("//img"):
        source = image.get("src") or "without src"
        if not all((image.get(side) or "").isdigit() for side in ("width", "height")):
            yield page.fault(image, "image-unsized", f"no width and height: {source}")
        if image.get("alt") is None:
            yield page.fault(image, "image-alt", f"no alt: {source}")
