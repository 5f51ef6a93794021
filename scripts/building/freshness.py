"""Whether each figure still stands on the code, data and results it was made from, and why not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from building import manifest as manifests
from building.closure import Code, Sources
from building.manifest import Manifest, ManifestError
from building.tree import ROOT, BuildError, Experiment, experiments
from fromnoise.provenance import sha256_of

Kind = Literal["fresh", "redraw", "stale", "missing", "corrupt", "broken", "orphan"]
"""`redraw`: results stand, the figure does not. `broken`: the experiment itself cannot be read.
`orphan`: a file among the figures that belongs to no experiment."""


@dataclass(frozen=True)
class State:
    """What is known of one experiment at one size."""

    name: str
    size: str
    state: Kind
    reason: str
    """Empty when fresh."""
    cost: float | None
    """Seconds the last run took; None when it never ran."""

    @property
    def is_fresh(self) -> bool:
        return self.state == "fresh"

    @property
    def is_failure(self) -> bool:
        """Whether `check` fails on it: a stale `gpu` result, which few can rerun, is only told."""
        return not self.is_fresh and (
            self.size != "gpu" or self.state in ("corrupt", "broken", "orphan")
        )


def states(root: Path = ROOT, size: str | None = None) -> list[State]:
    """State of every experiment at one size; by default at `full`, and at `gpu` where offered."""
    sources = Sources(root)
    found = []
    for experiment in experiments(root):
        found += states_of(experiment, sources, size)
    if size is None:
        found += _orphans(root, found)
    return found


def states_of(experiment: Experiment, sources: Sources, size: str | None = None) -> list[State]:
    """State of one experiment at one size, or at `full` and, where offered, `gpu`."""
    try:
        _, says = sources.experiment(experiment)
    except BuildError as error:
        return [State(experiment.name, size or "full", "broken", str(error), None)]
    if size is not None and size not in says.sizes:
        return []
    sizes = [size] if size else [s for s in ("full", "gpu") if s in says.sizes]
    return [judge(experiment, s, sources) for s in sizes]


def judge(experiment: Experiment, size: str, sources: Sources) -> State:
    """Compare the manifest with the tree as it is now."""
    path = experiment.manifest(size)
    cost = None

    def state(kind: Kind, reason: str) -> State:
        return State(experiment.name, size, kind, reason, cost)

    try:
        code = sources.code(experiment, size)
        needs = needed_hashes(experiment, size, sources)
    except BuildError as error:
        return state("broken", str(error))
    if not path.exists():
        return state("missing", "never run" if not _figures_lie(experiment, size) else "no record")
    try:
        made = manifests.load(path)
    except ManifestError as error:
        return state("corrupt", str(error).replace(f"{sources.root}/", ""))
    cost = made.cost
    if reason := why_stale(made, experiment, size, code, needs):
        return state("stale", reason)
    # Weights cannot be made from the results as a drawing can: without them the run is undone.
    if reason := why_weights_differ(made, experiment, size, path.parent, sources):
        return state("stale", reason)
    if reason := differences(made.draw_code, code.draw):
        return state("redraw", reason)
    if reason := why_outputs_differ(made, experiment, size, path.parent):
        return state("redraw", reason)
    return state("fresh", "")


def why_stale(
    made: Manifest,
    experiment: Experiment,
    size: str,
    code: Code,
    needs: dict[str, str | None],
) -> str:
    """Why the results no longer stand; empty when they do."""
    if (made.experiment, made.size) != (experiment.name, size):
        return f"the manifest is of {made.experiment} at size {made.size}"
    return (
        differences(made.run_code, code.run)
        or differences(made.data, code.data, "data set ")
        or differences(made.needs, needs, "results of ")
    )


def why_outputs_differ(made: Manifest, experiment: Experiment, size: str, folder: Path) -> str:
    """Why the files are not those the manifest was written with; empty when they are."""
    expected = {figure.name for figure in experiment.figures(size)}
    drawn = {name: sha for name, sha in made.outputs.items() if name not in made.weights}
    if set(drawn) != expected:
        return f"the manifest lists {', '.join(sorted(drawn)) or 'no outputs'}"
    return _why_files_differ(drawn, folder)


def why_weights_differ(
    made: Manifest, experiment: Experiment, size: str, folder: Path, sources: Sources
) -> str:
    """Why the published weights are not those of the run; empty when they are."""
    names = sources.experiment(experiment)[1].publishes
    if set(made.weights) != {experiment.weights(size, name).name for name in names}:
        return f"the manifest lists {', '.join(sorted(made.weights)) or 'no weights'}"
    return _why_files_differ(made.weights, folder)


def _why_files_differ(files: dict[str, str], folder: Path) -> str:
    for name, sha in files.items():
        try:
            if sha256_of(folder / name) != sha:
                return f"{name} is not the file that was made"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return ""


def needed_hashes(experiment: Experiment, size: str, sources: Sources) -> dict[str, str | None]:
    """Hash of the results of each needed experiment; None where there are none to be read.

    Raises:
        BuildError: An experiment needs one that does not exist.
    """
    hashes: dict[str, str | None] = {}
    for name, needed_size in needed(experiment, size, sources).items():
        other = Experiment(name, sources.root)
        try:
            hashes[name] = manifests.load(other.manifest(needed_size)).results_hash
        except ManifestError:
            hashes[name] = None
    return hashes


def needed(experiment: Experiment, size: str, sources: Sources) -> dict[str, str]:
    """Experiments that this one reads, and at which size: the same, or full where it has no gpu.

    Raises:
        BuildError: An experiment needs one that does not exist.
    """
    found = {}
    for name in sources.experiment(experiment)[1].needs:
        other = Experiment(name, sources.root)
        if not other.path.is_file():
            raise BuildError(f"{experiment.name} needs {name}, which does not exist")
        _, says = sources.experiment(other)
        found[name] = size if size in says.sizes else "full"
    return found


def differences(
    then: dict[str, str], now: dict[str, str] | dict[str, str | None], kind: str = ""
) -> str:
    changed = [f"{kind}{name} changed" for name in now if name in then and then[name] != now[name]]
    added = [f"now uses {kind}{name}" for name in now if name not in then]
    gone = [f"no longer uses {kind}{name}" for name in then if name not in now]
    reasons = changed + added + gone
    more = f" and {len(reasons) - 3} more" if len(reasons) > 3 else ""
    return ", ".join(reasons[:3]) + more


def _published(root: Path, experiment: Experiment) -> tuple[str, ...]:
    try:
        return Sources(root).experiment(experiment)[1].publishes
    except BuildError:
        return ()


def _figures_lie(experiment: Experiment, size: str) -> bool:
    return any(figure.exists() for figure in experiment.figures(size))


def _orphans(root: Path, found: list[State]) -> list[State]:
    """Files among the figures that no experiment accounts for."""
    known = set()
    for state in found:
        experiment = Experiment(state.name, root)
        sizes = ("full", "gpu") if state.state == "broken" else (state.size,)
        for size in sizes:
            known |= {experiment.manifest(size), *experiment.figures(size)}
            known |= {experiment.weights(size, name) for name in _published(root, experiment)}
    top = root / "docs" / "figures"
    files = sorted(path for path in top.rglob("*") if path.is_file())
    return [
        State(
            path.relative_to(top).as_posix(),
            "full",
            "orphan",
            "belongs to no experiment: remove it, or give back its experiment",
            None,
        )
        for path in files
        if path not in known and not path.name.startswith(".")
    ]
