"""Take in outputs made on another machine, if this tree would have made them from the same code."""

import shutil
from collections.abc import Callable
from pathlib import Path

from building import freshness, lock, manifest, outputs
from building.closure import Sources
from building.manifest import Manifest
from building.tree import BuildError, Experiment, UsageError


def adopt(
    folder: Path, sources: Sources, wait: bool = True, say: Callable[[str], None] = print
) -> list[str]:
    """Register every manifest under a folder with its figures; one sentence per refusal.

    Raises:
        UsageError: The folder holds no manifest, or those of this tree.
        BuildError: Another build of the experiment is at work, and `wait` is false.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}")
    own, named = sources.root / "docs" / "figures", folder.resolve()
    if own.resolve().is_relative_to(named) or named.is_relative_to(own.resolve()):
        raise UsageError(f"{folder} holds this tree's own figures; name those of another machine")
    found = sorted(folder.rglob("*.json"))
    if not found:
        raise UsageError(f"{folder} holds no manifest (a .json file beside its figures)")
    refusals = []
    for path in found:
        try:
            made = manifest.load(path)
            experiment = _acceptable(made, path, sources)
        except BuildError as error:
            refusals.append(f"refused {path}: {error}")
            continue
        with (
            lock.held(sources.root, [experiment.lock(made.size)], wait),
            outputs.draft(experiment, made.size) as draft,
        ):
            for file in (path, *(path.parent / name for name in made.outputs)):
                shutil.copyfile(file, draft / file.name)
            # What was checked must be what was copied.
            reason = freshness.why_outputs_differ(made, experiment, made.size, draft)
            reason = reason or freshness.why_weights_differ(
                made, experiment, made.size, draft, sources
            )
            if reason or manifest.load(draft / path.name) != made:
                refusals.append(f"refused {path}: it changed while it was read")
                continue
            target = experiment.manifest(made.size)
            outputs.publish(draft, target.parent, target.name)
        say(f"adopted {experiment.name} at size {made.size}, made on {made.device_name}")
    return refusals


def _acceptable(made: Manifest, path: Path, sources: Sources) -> Experiment:
    experiment = Experiment(made.experiment, sources.root)
    if ".." in made.experiment or not experiment.path.is_file():
        raise BuildError(f"this tree has no experiment {made.experiment!r}")
    if made.size not in ("full", "gpu"):
        raise BuildError(f"size {made.size!r} is not for the site")
    if path.name != experiment.manifest(made.size).name:
        raise BuildError(f"its name should be {experiment.manifest(made.size).name}")
    code = sources.code(experiment, made.size)
    needs = freshness.needed_hashes(experiment, made.size, sources)
    if reason := freshness.why_stale(made, experiment, made.size, code, needs):
        raise BuildError(f"made from other code: {reason}")
    if reason := freshness.differences(made.draw_code, code.draw):
        raise BuildError(f"drawn by other code: {reason}")
    if reason := freshness.why_weights_differ(
        made, experiment, made.size, path.parent, sources
    ) or freshness.why_outputs_differ(made, experiment, made.size, path.parent):
        raise BuildError(reason)
    return experiment
