"""A whole small site is built by mkdocs, strictly, and refuses faults in one sentence each."""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from book import disk
from book.node import ensure_packages
from book.volume import navigation

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = """---
title: The chapter
description: A chapter to test with.
---

# The chapter

So $p(x \\mid z)$ costs [[elbo/gap#gap.mean|.2f]] nats, as [@ho2020ddpm] say in [@eq:gap].

/// equation | gap
    check: tests/equations/test_elbo.py::test_gap
\\log p = \\mathcal L + \\sqrt{\\bar\\alpha_k}
///

## The step $x_t$

[`perturb`][fromnoise.diffusion.perturb] is one line:

```python
--8<-- "src/fromnoise/diffusion.py:perturb"
```
"""
PAGE = "---\ntitle: {0}\ndescription: A page.\n---\n\n# {0}\n\nText.\n"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory, new_shelf) -> Path:
    """A copy of the machinery, the look and the library, with one small chapter."""
    ensure_packages(ROOT)
    root = tmp_path_factory.mktemp("small")
    for folder in ("scripts/book", "scripts/building", "src/fromnoise", "docs/overrides"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "docs/assets", root / "docs/assets")
    for file in ("package.json", "package-lock.json", "constraints.txt", "CITATION.cff"):
        shutil.copy(ROOT / file, root / file)
    (root / "node_modules").symlink_to(ROOT / "node_modules")
    shelf = new_shelf(root)
    (root / "src/fromnoise/sample.py").unlink()
    (root / "docs/chapters/one.md").unlink()
    made = ("bibliography.md", "ledger.md", "reference/index.md", "notebooks/index.md")
    for page in navigation(ROOT / "mkdocs.yml"):
        if page in made:
            shelf.put(f"docs/{page}", (ROOT / "docs" / page).read_text(encoding="utf-8"))
        elif not page.startswith("chapters/"):
            shelf.put(f"docs/{page}", PAGE.format(Path(page).stem))
    shelf.put("docs/chapters/elbo.md", CHAPTER)
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\n")
    kept = [line for line in config if "chapters/" not in line or "chapters/elbo.md" in line]
    shelf.put("mkdocs.yml", "\n".join(kept))
    return root


def build(root: Path, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "FROMNOISE_EXECUTE": "false"}
    environment |= {"SITE_URL": "", "REPO_URL": "", **settings}
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", *options],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_a_sound_site_is_built_without_a_word(site):
    executed = site / ".build/notebooks/cache/executed.json"
    executed.parent.mkdir(parents=True)
    executed.write_text("{}", encoding="utf-8")
    done = build(site)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.strip() == ""
    assert executed.is_file(), "a build that executes nothing evicted an executed notebook"
    page = (site / "site/chapters/elbo/index.html").read_text(encoding="utf-8")
    assert '<a class="equation-check" href="../../ledger/#ledger-eq-gap"' in page
    assert 'href="../../bibliography/#ho2020ddpm"' in page
    assert 'href="../../assets/math/math.woff2"' in page
    assert "<msub><mi>x</mi><mi>t</mi></msub>" in page
    assert 'data-source="src/fromnoise/diffusion.py:perturb"' in page
    assert "Copy this chapter as one script" in page
    assert 'id="the-step"' in page
    assert (site / "site/assets/math/math.woff2").stat().st_size < 60_000
    notebook = (site / "site/notebooks/elbo/index.html").read_text(encoding="utf-8")
    assert 'href="elbo.ipynb"' in notebook
    assert (site / "site/notebooks/elbo/elbo.ipynb").is_file()
    assert "olab" not in notebook, "nothing is known that Colab could open"
    assert "<title>Notebook: The chapter - From Noise</title>" in notebook
    assert '"The code of the chapter The chapter as an executed Jupyter notebook."' in notebook
    assert '<a download="" href="../elbo.py">as a file</a>' in page
    script = (site / "site/chapters/elbo.py").read_text(encoding="utf-8")
    assert script.startswith("# The code of the chapter: The chapter\n#\n# From the book")
    assert "\ndef perturb(" in script
    index = json.loads((site / "site/search/search_index.json").read_text(encoding="utf-8"))
    found = {entry["location"]: entry["title"] for entry in index["docs"]}
    assert found["chapters/elbo/#eq-gap"] == "Equation (1.1): gap"
    assert "reference/diffusion/#fromnoise.diffusion.perturb" in found
    assert not any(location.startswith("notebooks/elbo") for location in found)
    for file in (site / "site").rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        assert "<style" not in text, file
        assert " style=" not in text, file
        for script in text.split("<script")[1:]:
            head = script.partition(">")[0]
            assert "src=" in head or 'type="application/json"' in head, file
        assert not {c for c in text if "\ue000" <= c <= "\uf8ff"}, file


def test_what_machines_read_and_the_archive_are_made(site):
    assert build(site).returncode == 0
    made = site / "site"
    page = (made / "chapters/elbo/index.html").read_text(encoding="utf-8")
    assert 'type="text/markdown" href="index.html.md"' in page
    plain = (made / "chapters/elbo/index.html.md").read_text(encoding="utf-8")
    assert "So $p(x \\mid z)$ costs 0.61 nats, as [Ho et al. 2020] say in equation (1.1)." in plain
    assert "(../../reference/diffusion/index.html.md#fromnoise.diffusion.perturb)" in plain
    assert "](chapters/elbo/index.html.md): " in (made / "llms.txt").read_text(encoding="utf-8")
    assert '<meta name="citation_title" content="The chapter">' in page
    assert not (made / "sitemap.xml").exists()
    archive = (made / disk.ARCHIVE).read_bytes()
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        copy = packed.read("from-noise/chapters/elbo/index.html").decode("utf-8")
    assert 'href="../../ledger/index.html#ledger-eq-gap"' in copy
    assert 'rel="preload"' not in copy
    assert disk.ARCHIVE not in copy
    assert build(site).returncode == 0
    assert (made / disk.ARCHIVE).read_bytes() == archive, "the same sources, other bytes"


def test_a_site_that_knows_its_address_says_it(site):
    shelf_figure = site / "docs/figures/home"
    shutil.copytree(ROOT / "docs/figures/home", shelf_figure, dirs_exist_ok=True)
    shutil.copytree(ROOT / "scripts/experiments/home", site / "scripts/experiments/home")
    addresses = {"SITE_URL": "https://example.org/book/", "REPO_URL": "https://github.com/a/b"}
    done = build(site, "--site-dir", "known", **addresses)
    assert done.returncode == 0, done.stderr[-3000:]
    places = (site / "known/sitemap.xml").read_text(encoding="utf-8")
    assert "<loc>https://example.org/book/chapters/elbo/</loc>" in places
    assert "lastmod" not in places
    page = (site / "known/chapters/elbo/index.html").read_text(encoding="utf-8")
    assert '<meta property="og:image" content="https://example.org/book/assets/images/' in page
    assert (site / "known/assets/images/share.png").is_file()
    assert 'href="https://github.com/a/b"' in page
    assert 'data-md-component="source"' not in page, "the theme would ask a third party for stars"
    notebook = (site / "known/notebooks/elbo/index.html").read_text(encoding="utf-8")
    assert "https://colab.research.google.com/github/a/b/blob/notebooks/elbo.ipynb" in notebook
    assert "](https://example.org/book/chapters/elbo/" in (site / "known/llms.txt").read_text()


def test_links_hold_without_directory_addresses(site):
    config = (site / "mkdocs.yml").read_text(encoding="utf-8")
    (site / "flat.yml").write_text(f"use_directory_urls: false\n{config}", encoding="utf-8")
    done = build(site, "--config-file", "flat.yml", "--site-dir", "flat")
    assert done.returncode == 0, done.stderr[-3000:]
    page = (site / "flat/chapters/elbo.html").read_text(encoding="utf-8")
    assert 'href="../ledger.html#ledger-eq-gap"' in page
    assert 'href="../assets/math/math.woff2"' in page
    assert (site / "flat/notebooks/elbo.ipynb").is_file()


def test_faults_stop_the_build_in_one_sentence_each(site):
    faulty = CHAPTER.replace("gap.mean|", "gap.gone|").replace("ho2020ddpm", "gone2020")
    (site / "docs/chapters/elbo.md").write_text(faulty, encoding="utf-8")
    done = build(site)
    bad_tex = CHAPTER.replace("\\mathcal L", "\\matcal L")
    (site / "docs/chapters/elbo.md").write_text(bad_tex, encoding="utf-8")
    second = build(site)
    (site / "docs/chapters/elbo.md").write_text(CHAPTER, encoding="utf-8")
    for run in (done, second):
        assert run.returncode == 1
        assert "Traceback" not in run.stderr
    assert "chapters/elbo.md:8: docs/figures/elbo/gap.json has no result gap.gone" in done.stderr
    assert "chapters/elbo.md:8: references.bib has no entry gone2020" in done.stderr
    assert "chapters/elbo.md:10: the formula" in second.stderr
    assert "\\matcal" in second.stderr


def test_a_warning_stops_a_strict_build_even_a_quiet_one(site):
    """mkdocs counts warnings where --quiet silences them; the hook must let them through."""
    links = "[gone](gone.md), [`none`][fromnoise.none.none]"
    (site / "docs/chapters/elbo.md").write_text(f"{CHAPTER}\n{links}\n", encoding="utf-8")
    (site / "docs/stray.md").write_text(PAGE.format("stray"), encoding="utf-8")
    done = build(site)
    (site / "docs/chapters/elbo.md").write_text(CHAPTER, encoding="utf-8")
    (site / "docs/stray.md").unlink()
    assert done.returncode == 1
    assert "contains a link 'gone.md'" in done.stderr
    assert 'not included in the "nav" configuration:\n  - stray.md' in done.stderr
    assert "Could not find cross-reference target 'fromnoise.none.none'" in done.stderr
