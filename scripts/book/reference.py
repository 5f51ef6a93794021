"""The API reference: one page per module, written here and filled by mkdocstrings."""

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path

SOURCE = re.compile(
    r'<details class="source" open>\s*<summary>Source</summary>(.*?)</details>', re.S
)

# A marker inside a class; its line stays, empty, so that the line numbers stay true.
MARKER = re.compile(r'(?:<span class="w"> *</span>| *)<span class="c1"># -+8&lt;-+ [^<>]*</span>')


@dataclass(frozen=True)
class Module:
    """A module of the library and the first line of its docstring."""

    name: str
    says: str

    @property
    def path(self) -> str:
        """Where its page stands: a folder for each package on the way."""
        return f"reference/{self.name.replace('.', '/')}.md"


def modules(root: Path) -> list[Module]:
    """Public modules of the package and of the packages in it, by name."""
    package = root / "src" / "fromnoise"
    found = []
    for file in sorted(package.rglob("*.py")):
        if not file.stem.startswith("_"):
            name = ".".join(file.relative_to(package).with_suffix("").parts)
            docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            found.append(Module(name, " ".join(docstring.partition("\n\n")[0].split())))
    return found


def page(module: Module, says: str) -> str:
    """Markdown of a module's page; `says` is its first line with marks for formulas."""
    description = f"Reference of fromnoise.{module.name}: {says}"
    # JSON strings are YAML strings, whatever stands in them.
    return (
        f"---\ntitle: fromnoise.{module.name}\n"
        f"description: {json.dumps(description, ensure_ascii=False)}\nlayout: plain\n---\n\n"
        f"::: fromnoise.{module.name}\n"
    )


def tidy(content: str) -> str:
    """A module's page with one kind of quotes in its shapes, and sources shown as sections."""
    quoted = r"""<span class="s1">'([^'<>]*)'</span>"""
    content = re.sub(quoted, r'<span class="s2">"\1"</span>', content)
    content = re.sub(r"""(Tensor(?:</span>|</a>)*, )'([^'<>]*)'""", r'\1"\2"', content)
    content = MARKER.sub("", content)
    listing = '<details class="mkdocstrings-source"'
    content = content.replace(listing, f"{listing} data-search-exclude")
    return SOURCE.sub(
        r'<div class="doc-origin"><p><span class="doc-section-title">Source:</span></p>\1</div>',
        content,
    )
