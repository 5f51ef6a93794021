"""What a command asks for, or a sentence that says what there is."""

import difflib
import fnmatch
from collections.abc import Sequence

from building.closure import Sources
from building.tree import DEVICES, BuildError, Experiment, UsageError, experiments


def one_of(word: str, choices: Sequence[str], what: str) -> str:
    """The word, if it is a choice.

    Raises:
        UsageError: It is not; names the nearest, and what there is.
    """
    if word in choices:
        return word
    guess = close_to(word, choices)
    guess = f" ({guess})" if guess else ""
    raise UsageError(f"unknown {what} {word!r}{guess}; {there_is(choices)}")


def close_to(word: str, choices: Sequence[str]) -> str:
    """A question that names the choice nearest to the word; empty when none is near."""
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else ""


def there_is(choices: Sequence[str]) -> str:
    return f"there are {', '.join(choices)}" if choices else "there are none"


def matching(patterns: Sequence[str], sources: Sources) -> list[Experiment]:
    """Experiments named by any of the patterns: a name, a chapter, or a pattern such as `vae/b*`.

    Raises:
        UsageError: A pattern matches nothing.
    """
    everything = experiments(sources.root)
    if not patterns:
        return everything
    names = [experiment.name for experiment in everything]
    chosen: set[str] = set()
    for pattern in patterns:
        # The path of the file is a name too: a shell completes it.
        pattern = pattern.removeprefix("./").removeprefix("scripts/experiments/")
        pattern = pattern.removesuffix(".py").rstrip("/")
        found = [
            name
            for name in names
            if name.startswith(pattern + "/") or fnmatch.fnmatchcase(name, pattern)
        ]
        if not found:
            chapters = sorted({name.partition("/")[0] for name in names})
            hint = close_to(pattern, [*names, *chapters])
            hint = hint or "`build_figures.py list` shows all"
            raise UsageError(f"unknown experiment {pattern!r}; {hint}")
        chosen.update(found)
    return [experiment for experiment in everything if experiment.name in chosen]


def with_size(
    chosen: list[Experiment], size: str, sources: Sources, is_named: bool
) -> list[Experiment]:
    """Those of the experiments that have the size; one that was asked for by name must have it.

    Raises:
        UsageError: None of them has it.
    """
    able = []
    for experiment in chosen:
        try:
            says = sources.experiment(experiment)[1]
        except BuildError:
            able.append(experiment)  # its turn to fail comes, with a sentence of its own
            continue
        if size in says.sizes:
            able.append(experiment)
        elif is_named and len(chosen) == 1:
            raise UsageError(
                f"{experiment.name} has no size {size!r}; {there_is(list(says.sizes))}"
            )
    if is_named and not able:
        raise UsageError(f"none of these experiments has the size {size!r}")
    return able


def device_for(wish: str, size: str) -> str:
    """The device to run on: `auto` takes the GPU for size gpu, and the CPU for all others.

    Raises:
        UsageError: There is no such device, or none that the size asks for.
    """
    one_of(wish, DEVICES, "device")
    if wish == "cpu" or (wish == "auto" and size != "gpu"):
        return "cpu"  # at the small sizes a GPU is slower, and gives other last digits
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wish == "cuda":
        raise UsageError("torch sees no CUDA device on this machine; there is cpu")
    raise UsageError(
        "size 'gpu' needs a CUDA device and torch sees none; --device cpu runs it for hours"
    )
