r"""Multistep solvers: steps of higher order that reuse the estimates of the steps before them.

Each is a step that remembers, for the same face as `fromnoise.samplers`. Where the log-SNR is
infinite at an end of the step it forgets, and takes the step of order one.

Source: Lu et al. 2022, arXiv 2211.01095; Zhao et al. 2023, arXiv 2302.04867.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from fromnoise.batches import ask
from fromnoise.exponential import combine, exponential_weights, hold, midpoint_weights, step_ends
from fromnoise.samplers import Denoiser
from fromnoise.schedules import Schedule
from fromnoise.solvers import hold_middle

Data = Float[Tensor, "batch *dims"]
Time = Float[Tensor, ""]


class _Memory:
    """Estimates of one walk, newest first. It lasts as long as the walk goes on from its end."""

    def __init__(self) -> None:
        self.estimates: list[tuple[Tensor, Tensor]] = []
        self._end: tuple[Tensor, Tensor] | None = None

    def recall(self, x_t: Tensor, t: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Pairs of log-SNR and estimate; none unless `x_t` is the very tensor given last."""
        # By identity: the estimates of another walk that happens to be at the same time are wrong.
        goes_on = self._end is not None and self._end[0] is x_t and bool(self._end[1] == t)
        return self.estimates if goes_on else []

    def keep(self, estimates: list[tuple[Tensor, Tensor]], x_s: Tensor, s: Tensor) -> Tensor:
        self.estimates, self._end = estimates, (x_s, s)
        return x_s


# --8<-- [start:DPMSolverMultistep]
class DPMSolverMultistep:
    r"""DPM-Solver++ that reuses the estimates of its last steps: one call of the denoiser a step.

    It is a step that remembers. Give it to `sample` like any other; a walk that does not go on from
    the tensor it returned last starts afresh, so one object may serve walk after walk.

    Order two is the published 2M. Order three puts a parabola through three estimates, and is of
    order three only with two things that common programs lack: the full integral of the square in
    the parabola's bend, which they halve, and a start of order two. For that the first step here
    asks the denoiser twice. Without either, the walk is of order two.

    Source: Lu et al. 2022, arXiv 2211.01095.
    """

    def __init__(self, order: int = 2) -> None:
        """Begin without memories.

        Args:
            order: Number of estimates in use, 1, 2 or 3.

        Raises:
            ValueError: If the order is another.
        """
        if order not in (1, 2, 3):
            raise ValueError(f"order must be 1, 2 or 3, got {order}")
        self.order = order
        self._memory = _Memory()

    def __call__(
        self,
        denoiser: Denoiser,
        schedule: Schedule,
        x_t: Data,
        t: Time,
        s: Time,
        generator: torch.Generator | None = None,
    ) -> Data:
        """Take one step, with what is remembered of the steps before it.

        Raises:
            ValueError: If there is no noise at t.
        """
        at_t, at_s, h = step_ends(schedule, t, s)
        x_0_hat = ask(denoiser, x_t, t)
        if not h.isfinite():
            return self._memory.keep([], hold(x_t, at_t, at_s, h, x_0_hat), s)
        known = [(at_t.log_snr_t, x_0_hat), *self._memory.recall(x_t, t)][: self.order]
        nodes = _shares(known, h)
        if len(known) == 1 and self.order == 3:
            x_s = hold_middle(denoiser, schedule, x_t, at_t, at_s, h, x_0_hat)
        else:
            weights = (
                midpoint_weights(h, nodes[1]) if len(nodes) == 2 else exponential_weights(h, nodes)
            )
            x_s = combine(x_t, at_t, at_s, [estimate for _, estimate in known], weights)
        return self._memory.keep(known, x_s, s)


# --8<-- [end:DPMSolverMultistep]


# --8<-- [start:UniPC]
class UniPC:
    r"""UniPC-2: predict with two estimates, ask at the prediction, correct with three.

    Third order at one call of the denoiser a step, plus one at the start: the estimate that
    corrects this step is the first one of the next. The prediction is that of DPM-Solver++ (2M).
    Like `DPMSolverMultistep` it is a step that remembers, and starts afresh on another walk.

    Source: Zhao et al. 2023, arXiv 2302.04867 (with their $B_2$).
    """

    def __init__(self) -> None:
        """Begin without memories."""
        self._memory = _Memory()

    def __call__(
        self,
        denoiser: Denoiser,
        schedule: Schedule,
        x_t: Data,
        t: Time,
        s: Time,
        generator: torch.Generator | None = None,
    ) -> Data:
        """Predict and correct one step. The last step to clean data is not corrected.

        Raises:
            ValueError: If there is no noise at t.
        """
        at_t, at_s, h = step_ends(schedule, t, s)
        known = self._memory.recall(x_t, t) or [(at_t.log_snr_t, ask(denoiser, x_t, t))]
        estimates, nodes = [estimate for _, estimate in known], _shares(known, h)
        if not h.isfinite():
            return self._memory.keep([], hold(x_t, at_t, at_s, h, estimates[0]), s)
        if len(known) == 1:
            predicted = hold(x_t, at_t, at_s, h, estimates[0])
            weights = midpoint_weights(h, 1.0)
        else:
            predicted = combine(x_t, at_t, at_s, estimates, midpoint_weights(h, nodes[1]))
            weights = exponential_weights(h, [0.0, 1.0, nodes[1]])
        x_0_s = ask(denoiser, predicted, s)
        x_s = combine(x_t, at_t, at_s, [estimates[0], x_0_s, *estimates[1:]], weights)
        return self._memory.keep([(at_s.log_snr_t, x_0_s), known[0]], x_s, s)


# --8<-- [end:UniPC]


def _shares(known: list[tuple[Tensor, Tensor]], h: Time) -> list[float]:
    """Where the estimates lie on the step: 0 for the newest, at t; the others before it."""
    newest = known[0][0]
    return [0.0] + [((log_snr - newest) / (2 * h)).item() for log_snr, _ in known[1:]]
