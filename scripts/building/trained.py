"""Which models a run trained, told by their sizes: a run cannot forget to say it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def noted(file: Path) -> Iterator[None]:
    """Note, while a run lasts, how many numbers each optimizer moves; each count once.

    The file lies with the checkpoints and outlives a kill as they do, because a run that is resumed
    may find a model trained already.
    """
    from torch.optim import Optimizer
    from torch.optim.optimizer import register_optimizer_step_post_hook

    seen = set(sizes(file))

    def note(optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        size = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
        if size not in seen:
            seen.add(size)
            with open(file, "a", encoding="utf-8") as out:
                out.write(f"{size}\n")

    handle = register_optimizer_step_post_hook(note)
    try:
        yield
    finally:
        handle.remove()


def sizes(file: Path) -> list[int]:
    """What was noted, smallest first; a last line that a kill cut off does not count."""
    if not file.exists():
        return []
    whole = file.read_text(encoding="utf-8").rpartition("\n")[0]
    return sorted({int(line) for line in whole.split()})
