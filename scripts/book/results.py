"""Numbers of the text, read from the manifest of the experiment that measured them."""

import difflib
import html
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from book.errors import BookError
from book.sources import Number
from building.closure import Sources
from building.tree import BuildError, Experiment, experiments


@lru_cache(maxsize=256)
def _read(file: Path, stamp: int) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


def manifest(root: Path, path: str) -> dict[str, Any]:
    """What the experiment wrote beside its figure."""
    file = root / path
    if not file.is_file():
        name = path.removeprefix("docs/figures/").removesuffix(".json").removesuffix(".gpu")
        known = [experiment.name for experiment in experiments(root)]
        if name not in known:
            raise BookError(f"there is no experiment {name}{_guess(name, known)}")
        raise BookError(f"there is no {path}: run the experiment first")
    try:
        found = _read(file, file.stat().st_mtime_ns)
    except ValueError as error:
        raise BookError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict) or not isinstance(found.get("results"), dict):
        raise BookError(f"{path} holds no results")
    return found


def look_up(tree: dict[str, Any], key: str, path: str) -> Any:
    """The value under a dotted key; a part of a key may itself hold a dot, as in `beta.0.5`."""
    value: Any = tree
    parts = key.split(".")
    at = 0
    while at < len(parts):
        for stop in range(len(parts), at, -1):
            name = ".".join(parts[at:stop])
            if isinstance(value, dict) and name in value:
                value, at = value[name], stop
                break
            if isinstance(value, list) and name.lstrip("-").isdigit() and stop == at + 1:
                if not -len(value) <= int(name) < len(value):
                    raise BookError(f"{path} has no {key}: the list has {len(value)} entries")
                value, at = value[int(name)], stop
                break
        else:
            there = [str(k) for k in value] if isinstance(value, dict) else []
            hint = _guess(parts[at], there) or (f"; there is {', '.join(there)}" if there else "")
            raise BookError(f"{path} has no result {key}{hint}")
    return value


def _guess(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def shown(value: Any, spec: str, key: str) -> str:
    """A value in the given format."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        kind = "a group of results" if isinstance(value, dict | list) else repr(value)
        raise BookError(f"{key} is {kind}, not a number")
    try:
        return format(value, spec)
    except ValueError as error:
        raise BookError(f"{key} = {value!r} cannot be written as {spec!r}: {error}") from error


def is_unrun(root: Path, number: Number) -> bool:
    """Whether it is a number of a `gpu` size that the experiment offers and nobody has run."""
    if not number.experiment.endswith(".gpu") or (root / number.manifest).exists():
        return False
    found = Experiment(number.experiment.removesuffix(".gpu"), root)
    try:
        return "gpu" in Sources(root).experiment(found)[1].sizes
    except BuildError:
        return False  # the build says what is wrong with it


def bound_html(root: Path, number: Number) -> str:
    """The HTML of a bound number, with its full value and where it comes from."""
    if is_unrun(root, number):
        # The size that was run must hold it, so that a slip in the name does not wait for a GPU.
        full = replace(number, experiment=number.experiment.removesuffix(".gpu"))
        bound_html(root, full)
        part = ".mean" if number.spec.startswith("interval") else ""
        source = html.escape(f"{number.manifest}#results.{number.key}{part}")
        return f'<span class="unrun" data-source="{source}">not run</span>'
    results = manifest(root, number.manifest)["results"]
    value = look_up(results, number.key, number.manifest)

    def one(value: Any, spec: str, key: str) -> str:
        text = shown(value, spec, f"{number.manifest}#{key}")
        full = value if isinstance(value, str) else repr(value)
        source = f"{number.manifest}#results.{key}"
        return (
            f'<data class="measured" value="{html.escape(full)}" '
            f'data-source="{html.escape(source)}">{html.escape(text)}</data>'
        )

    if number.spec.startswith("interval"):
        spec = number.spec.removeprefix("interval").strip()
        if not isinstance(value, dict) or not {"mean", "low", "high"} <= value.keys():
            raise BookError(f"{number.manifest}#{number.key} has no mean, low and high")
        mean, low, high = (
            one(value[part], spec, f"{number.key}.{part}") for part in ("mean", "low", "high")
        )
        return f'<span class="interval">{mean} ({low} to {high})</span>'
    return one(value, number.spec, number.key)
