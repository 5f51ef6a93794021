"""The record of one run: its results, what they stand on, and where and how long it ran.

The manifest lies beside the figure and is the only truth about whether the figure is fresh. Its
last entry is the SHA-256 of all others, so that a hand that edits a result is noticed.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from building.syntax import combined
from building.tree import BuildError
from fromnoise.provenance import write_whole

SCHEMA = 2


class ManifestError(BuildError):
    """A manifest cannot be read, or is not what a run wrote."""


@dataclass(frozen=True)
class Manifest:
    """What a run leaves beside its figure."""

    experiment: str
    size: str
    seed: int | list[int] | None
    """One, or those of all repetitions; None where nothing is drawn at random."""
    config: dict[str, Any]
    results: dict[str, Any]
    run_code: dict[str, str]
    """Code the results stand on: path or part to SHA-256."""
    draw_code: dict[str, str]
    """Code that only the drawing stands on."""
    data: dict[str, str]
    needs: dict[str, str]
    """Experiments whose results this one read, and the SHA-256 of those results."""
    trained: list[int]
    """Sizes of the models that `run` trained, in numbers moved by their optimizers; each once."""
    outputs: dict[str, str]
    """File name to SHA-256."""
    command: str
    device: str
    device_name: str
    n_threads: int
    versions: dict[str, str]
    wall_s: float
    """Seconds that `run` took, with those of the runs it resumed."""
    draw_s: float
    schema: int = SCHEMA

    @property
    def run_hash(self) -> str:
        return combined(self.run_code)

    @property
    def draw_hash(self) -> str:
        return combined(self.draw_code)

    @property
    def weights(self) -> dict[str, str]:
        """File name to SHA-256 of the weights among the outputs."""
        return {name: sha for name, sha in self.outputs.items() if name.endswith(".safetensors")}

    @property
    def results_hash(self) -> str:
        """Of all that experiments which need this one may read."""
        return _sha([self.results, self.weights] if self.weights else self.results)

    @property
    def cost(self) -> float:
        """Seconds that running and drawing took."""
        return self.wall_s + self.draw_s


def load(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        ManifestError: There is none, it cannot be read, or it was changed after it was written.
    """
    try:
        entries = json.loads(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise ManifestError(f"there is no manifest {path}") from error
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ManifestError(f"{path} is not JSON: {error}") from error
    if not isinstance(entries, dict) or "schema" not in entries:
        raise ManifestError(f"{path} is not a manifest")
    if entries["schema"] != SCHEMA:
        raise ManifestError(f"{path} has schema {entries['schema']}, this tree reads {SCHEMA}")
    stated = entries.pop("sha256", None)
    if stated != _sha(entries):
        raise ManifestError(f"{path} was changed after it was written (its SHA-256 disagrees)")
    expected = {field.name for field in fields(Manifest)}
    if set(entries) != expected:
        odd = ", ".join(sorted(set(entries) ^ expected))
        raise ManifestError(f"{path} does not have the entries of a manifest: {odd}")
    return Manifest(**entries)


def dump(manifest: Manifest, path: Path) -> None:
    """Write a manifest, whole or not at all.

    Raises:
        OSError: There is no room, or no permission.
    """
    entries = asdict(manifest)
    entries["sha256"] = _sha(entries)
    write_whole(path, ("".join(_lines(entries)) + "\n").encode())


def checked_results(results: Any, name: str) -> dict[str, Any]:
    """Results as JSON gives them back, so that a figure redrawn later is drawn from the same.

    Raises:
        BuildError: A result is no JSON, or not finite; names the key.
    """
    if not isinstance(results, dict):
        raise BuildError(f"{name}: run() must return a dict, got {type(results).__name__}")
    for key, value in _leaves(results, ""):
        if isinstance(value, float) and not math.isfinite(value):
            raise BuildError(f"{name}: the result {key!r} is {value}; results must be finite")
        if not isinstance(value, str | bool | int | float | None):
            kind = type(value).__name__
            raise BuildError(f"{name}: the result {key!r} is a {kind}; results must be JSON")
    return json.loads(json.dumps(results))


def reproduce_line(manifest: Manifest) -> dict[str, str]:
    """What stands under a figure: how to make it again, and what that took."""
    seeds = manifest.seed if isinstance(manifest.seed, list) else [manifest.seed]
    return {
        "command": manifest.command,
        "seed": "none" if manifest.seed is None else ", ".join(map(str, seeds)),
        "device": f"{manifest.device} ({manifest.device_name}), {_threads(manifest.n_threads)}",
        "wall_time": duration(manifest.cost),
        "code": manifest.run_hash[:12],
        "needs": ", ".join(manifest.needs),
    }


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _threads(n: int) -> str:
    return "1 thread" if n == 1 else f"{n} threads"


def _sha(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                yield f"{key}.{name}".lstrip("."), {}  # JSON would turn the name into a string
            yield from _leaves(item, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{key}[{index}]")
    else:
        yield key, value


def _lines(value: Any, indent: str = "") -> Iterator[str]:
    """Dicts over several lines, lists on one: a changed number shows in review, an image is short.

    Args:
        value: JSON value.
        indent: Spaces before the entries' closing brace.
    """
    if isinstance(value, dict) and value:
        yield "{\n"
        last = len(value) - 1
        for index, (key, item) in enumerate(value.items()):
            yield f"{indent} {json.dumps(key)}: "
            yield from _lines(item, indent + " ")
            yield "\n" if index == last else ",\n"
        yield indent + "}"
    else:
        yield json.dumps(value, separators=(",", ":"), allow_nan=False)
