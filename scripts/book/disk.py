"""The whole site as one archive that works from disk.

A browser shows a folder's listing where a server would give its `index.html`, starts no workers,
fetches nothing and refuses fonts that are asked for across origins. So in the copy links end in
`index.html`, the search index is a script, and nothing is loaded ahead.
"""

import html
import io
import json
import posixpath
import re
import zipfile
from pathlib import Path

NAME = "from-noise"
ARCHIVE = f"{NAME}.zip"
SCRIPT = "assets/javascripts/from_disk.js"
INDEX = "search/search_index"
# What only a server has a use for, and what would contain itself.
LEFT_OUT = frozenset({"404.html", "sitemap.xml", "sitemap.xml.gz", "robots.txt", ARCHIVE})
# Models need workers and fetches; source maps, a developer.
UNUSED = re.compile(r"assets/models/|.*\.map$")
LINK = re.compile(
    r'(?P<head><(?:a|area|link)\b[^<>]*?\shref=)(?P<quote>["\'])(?P<href>.*?)(?P=quote)'
)
AHEAD = re.compile(r'<link\b[^<>]*\brel="(?:preload|modulepreload|prefetch)"[^<>]*>\s*')
KEPT = re.compile(r'<span class="keep">.*?</span>', re.S)


def archive(site: Path) -> bytes:
    """The bytes of the archive: the same for the same site, whenever it is made."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for path in sorted(p.relative_to(site).as_posix() for p in site.rglob("*") if p.is_file()):
            if path in LEFT_OUT or UNUSED.match(path):
                continue
            content = _source(site, path).read_bytes()
            if path.endswith(".html"):
                content = from_disk(content.decode("utf-8"), path, site).encode("utf-8")
            if path == f"{INDEX}.json":
                path, content = f"{INDEX}.js", index(content.decode("utf-8")).encode("utf-8")
            entry = zipfile.ZipInfo(f"{NAME}/{path}", (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            made.writestr(entry, content)
    return file.getvalue()


def _source(site: Path, path: str) -> Path:
    """The file itself; of the search's worker, what the served one only loads when it is wanted."""
    whole = site / path.replace(".min.js", ".whole.js")
    return whole if "/workers/" in path and whole.is_file() else site / path


def from_disk(page: str, path: str, site: Path) -> str:
    """A page whose links lead to files.

    Args:
        page: Its HTML.
        path: Where it stands, from the root of the site.
        site: The site, to tell folders from files.
    """
    folder = posixpath.dirname(path)

    def to_file(link: re.Match[str]) -> str:
        href = html.unescape(link["href"])
        address, mark, rest = _split(href)
        if not address or re.match(r"[a-z][a-z0-9+.-]*:|/", address, re.I):
            return link[0]
        target = posixpath.normpath(posixpath.join(folder, address))
        if (site / target / "index.html").is_file():
            address = posixpath.join(address, "index.html")
        shown = html.escape(f"{address}{mark}{rest}")
        return f"{link['head']}{link['quote']}{shown}{link['quote']}"

    base = "../" * path.count("/")
    page = KEPT.sub("", AHEAD.sub("", page))
    page = LINK.sub(to_file, page)
    return page.replace("</head>", f'<script src="{base}{SCRIPT}"></script></head>', 1)


def _split(href: str) -> tuple[str, str, str]:
    """Path, the mark after it (`?`, `#` or nothing), and the rest."""
    parts = re.match(r"([^?#]*)([?#]?)(.*)", href, re.S)
    return (parts[1], parts[2], parts[3]) if parts else (href, "", "")


def index(text: str) -> str:
    """The search index as a script, as the theme expects it from disk."""
    found = json.loads(text)
    for entry in found["docs"]:
        address, mark, rest = _split(entry["location"])
        if not address.endswith(".html"):
            address = posixpath.join(address, "index.html")
        entry["location"] = f"{address}{mark}{rest}"
    return f"var __index = {json.dumps(found, ensure_ascii=True, separators=(',', ':'))}\n"
