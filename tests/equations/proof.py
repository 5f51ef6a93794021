"""A displayed equation is proved by two independent computations and by wrong ones that must fail.

A check returns `Sides`: the left side, the right side, and the right side with a fault planted in
it (a sign, a factor of one half, an index). `proves` turns it into a test. Which test proves which
equation is read from the decorator by whoever asks; nothing is kept at run time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps

import torch
from torch import Tensor

MARGIN = 1e4
"""A planted fault must miss by this many tolerances, or the check could not have seen it."""


@dataclass(frozen=True)
class Sides:
    """Both sides of an equation, and the wrong right sides that a reader might have written."""

    left: Tensor
    right: Tensor
    wrong: Mapping[str, Tensor]
    tolerance: float = 1e-10
    reason: str = ""
    """Why the tolerance is what it is; required when it is looser than 1e-10."""


def residual(left: Tensor, right: Tensor) -> float:
    """Largest difference, relative to the larger of 1 and the largest entry of the left side."""
    if left.shape != right.shape:
        raise AssertionError(f"sides differ in shape: {tuple(left.shape)}, {tuple(right.shape)}")
    if left.numel() == 0:
        raise AssertionError("the check compares nothing")
    if left.dtype != torch.float64 or right.dtype != torch.float64:
        raise AssertionError(f"checks run in float64, got {left.dtype} and {right.dtype}")
    gap = (left - right).abs().max().item()
    scale = max(1.0, left.abs().max().item())
    return gap / scale if gap == gap else float("inf")


def judge(sides: Sides) -> None:
    """Raise AssertionError unless the sides agree and every planted fault is seen."""
    if not sides.wrong:
        raise AssertionError("no planted fault: a check that cannot fail proves nothing")
    if sides.tolerance > 1e-10 and not sides.reason:
        raise AssertionError(f"tolerance {sides.tolerance:g} needs a reason")
    found = residual(sides.left, sides.right)
    if not found <= sides.tolerance:
        raise AssertionError(f"sides differ by {found:.3g}, tolerance {sides.tolerance:g}")
    margin = MARGIN if sides.tolerance <= 1e-10 else 3.0
    for fault, wrong in sides.wrong.items():
        missed = residual(sides.left, wrong)
        if missed <= margin * sides.tolerance:
            raise AssertionError(f"the planted fault passes: {fault!r} is off by only {missed:.3g}")


def proves(*equations: str) -> Callable[[Callable[[], Sides]], Callable[[], None]]:
    """Make a function that returns `Sides` the test of these equations."""
    if not equations:
        raise ValueError("proves() needs the id of at least one equation")

    def decorate(check: Callable[[], Sides]) -> Callable[[], None]:
        @wraps(check)
        def test() -> None:
            judge(check())

        # pytest reads the signature of the wrapped function; the test returns None.
        test.__annotations__ = {}
        return test

    return decorate
