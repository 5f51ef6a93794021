r"""Solvers: steps of higher order, for the same face as `fromnoise.samplers`.

In log-SNR the flow has a part that is known and a part that only the denoiser knows. With
$h = \tfrac12(\lambda_s - \lambda_t)$, and $\tau$ the share of the step in log-SNR that is done,

$$x_s = \frac{\sigma_s}{\sigma_t} x_t + \alpha_s \int_0^1 h\, e^{-h (1 - \tau)}\, \hat x_0(\tau)\,
d\tau.$$

An exponential integrator puts a polynomial through a few estimates $\hat x_0$ and integrates that
without error. What is left is a table of weights, one per estimate. The solvers differ in where
their estimates come from: from inside the step, or from the steps before it.

Where the log-SNR is infinite at an end of the step (pure noise, or clean data) no polynomial in it
exists, and every exponential integrator here takes the step of order one.

Source: Hochbruck & Ostermann 2010, <https://doi.org/10.1017/S0962492910000048>; for diffusion Lu et
    al. 2022, arXiv 2206.00927.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from numpy import float64
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.special import hyp1f1
from torch import Tensor

from fromnoise.batches import noise_like
from fromnoise.diffusion import transition
from fromnoise.samplers import Denoiser, Step, heun_step
from fromnoise.schedules import Scales, Schedule
from fromnoise.targets import velocity_from_x_0

Data = Float[Tensor, "batch *dims"]
Time = Float[Tensor, ""]
Times = Float[Tensor, " n_times"]
Array = NDArray[float64]


# --8<-- [start:exponential_weights]
def exponential_weights(h: Time, nodes: Sequence[float]) -> Float[Tensor, " n_nodes"]:
    r"""What each estimate counts for: $w_i = \int_0^1 h\, e^{-h(1 - \tau)} L_i(\tau)\, d\tau$.

    $L_i$ is the polynomial that is 1 at node i and 0 at the others, so an estimate that is a
    polynomial in log-SNR, of a degree below the number of nodes, is integrated without error.

    Args:
        h: Half the gain of the step in log-SNR, $\tfrac12(\lambda_s - \lambda_t)$, in nats.
        nodes: Where the estimates are, as shares of the step: 0 at t, 1 at s, negative before t.

    Returns:
        Weights in float64; they sum to $1 - e^{-h}$.

    Raises:
        ValueError: If h is not finite, or nodes are missing or fall together.

    Source: Hochbruck & Ostermann 2010, <https://doi.org/10.1017/S0962492910000048>.
    """
    if not h.isfinite() or len(set(nodes)) < max(1, len(nodes)):
        raise ValueError(f"need finite h and distinct nodes, got h {h.item()}, nodes {list(nodes)}")
    # The weights of tau^j: a confluent hypergeometric function keeps its digits at small h.
    powers = range(len(nodes))
    moments = [h.item() / (j + 1) * float(hyp1f1(1, j + 2, -h.item())) for j in powers]
    vandermonde = torch.tensor([[c**j for c in nodes] for j in powers], dtype=torch.float64)
    return torch.linalg.solve(vandermonde, torch.tensor(moments, dtype=torch.float64))


# --8<-- [end:exponential_weights]


# --8<-- [start:midpoint_weights]
def midpoint_weights(h: Time, node: float) -> Float[Tensor, " 2"]:
    r"""Weights of estimates at t and at `node`, as if all of the step lay at $\tau = \tfrac12$.

    $$w = (1 - e^{-h}) \Big(1 - \frac{1}{2c},\; \frac{1}{2c}\Big), \qquad c = \text{node}.$$

    These are not the weights that integrate a straight line without error, but they agree with them
    to the order that two estimates have. DPM-Solver++ 2 and UniPC are defined with them.

    Source: Lu et al. 2022, arXiv 2211.01095.
    """
    half_slope = torch.tensor([1 - 0.5 / node, 0.5 / node], dtype=torch.float64)
    return -torch.expm1(-h) * half_slope


# --8<-- [end:midpoint_weights]


# --8<-- [start:dpm_solver_1_step]
def dpm_solver_1_step(
    denoiser: Denoiser,
    schedule: Schedule,
    x_t: Data,
    t: Time,
    s: Time,
    generator: torch.Generator | None = None,
) -> Data:
    r"""Hold one estimate: $x_s = \frac{\sigma_s}{\sigma_t} x_t + \alpha_s (1-e^{-h})\, \hat x_0$.

    The same step as `ddim_step` without noise, written in log-SNR. The generator is not used.

    Raises:
        ValueError: If there is no noise at t.

    Source: Lu et al. 2022, arXiv 2211.01095.
    """
    at_t, at_s, h = _ends(schedule, t, s)
    return _hold(x_t, at_t, at_s, h, _ask(denoiser, x_t, t))


# --8<-- [end:dpm_solver_1_step]


# --8<-- [start:dpm_solver_2_step]
def dpm_solver_2_step(
    denoiser: Denoiser,
    schedule: Schedule,
    x_t: Data,
    t: Time,
    s: Time,
    generator: torch.Generator | None = None,
) -> Data:
    r"""Go half way in log-SNR, and hold the estimate found there for the whole step.

    DPM-Solver++ (2S) with its node in the middle: second order, two calls of the denoiser. The
    generator is not used.

    Raises:
        ValueError: If there is no noise at t.

    Source: Lu et al. 2022, arXiv 2211.01095.
    """
    at_t, at_s, h = _ends(schedule, t, s)
    x_0_hat = _ask(denoiser, x_t, t)
    if not h.isfinite():
        return _hold(x_t, at_t, at_s, h, x_0_hat)
    return _by_midpoint(denoiser, schedule, x_t, at_t, at_s, h, x_0_hat)


# --8<-- [end:dpm_solver_2_step]


# --8<-- [start:dpm_solver_3_step]
def dpm_solver_3_step(
    denoiser: Denoiser,
    schedule: Schedule,
    x_t: Data,
    t: Time,
    s: Time,
    generator: torch.Generator | None = None,
) -> Data:
    r"""Estimates at one third and at two thirds of the step in log-SNR.

    DPM-Solver++ (3S): third order, three calls of the denoiser. The last line uses only the
    estimates at 0 and 2/3: for these two nodes the error of a straight line,
    $\tau (\tau - \tfrac23)$, has mean zero. The generator is not used.

    Raises:
        ValueError: If there is no noise at t.

    Source: Lu et al. 2022, arXiv 2211.01095, and their earlier DPM-Solver-3, arXiv 2206.00927.
    """
    at_t, at_s, h = _ends(schedule, t, s)
    x_0_t = _ask(denoiser, x_t, t)
    if not h.isfinite():
        return _hold(x_t, at_t, at_s, h, x_0_t)
    third = schedule.time_at(at_t.log_snr_t + 2 / 3 * h)
    two_thirds = schedule.time_at(at_t.log_snr_t + 4 / 3 * h)
    at_third, at_two_thirds = schedule(third), schedule(two_thirds)
    x_third = _hold(x_t, at_t, at_third, h / 3, x_0_t)
    x_0_third = _ask(denoiser, x_third, third)
    weights = exponential_weights(2 / 3 * h, [0.0, 1 / 2])
    x_two_thirds = _move(x_t, at_t, at_two_thirds, [x_0_t, x_0_third], weights)
    x_0_two_thirds = _ask(denoiser, x_two_thirds, two_thirds)
    return _move(x_t, at_t, at_s, [x_0_t, x_0_two_thirds], exponential_weights(h, [0.0, 2 / 3]))


# --8<-- [end:dpm_solver_3_step]


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
    order three only with two things that common programs lack: the full weight of the parabola's
    bend, which they halve, and a start of order two. For that the first step here asks the denoiser
    twice. Without either, the walk is of order two.

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
        at_t, at_s, h = _ends(schedule, t, s)
        x_0_hat = _ask(denoiser, x_t, t)
        if not h.isfinite():
            return self._memory.keep([], _hold(x_t, at_t, at_s, h, x_0_hat), s)
        known = [(at_t.log_snr_t, x_0_hat), *self._memory.recall(x_t, t)][: self.order]
        nodes = _shares(known, h)
        if len(known) == 1 and self.order == 3:
            x_s = _by_midpoint(denoiser, schedule, x_t, at_t, at_s, h, x_0_hat)
        else:
            weights = (
                midpoint_weights(h, nodes[1]) if len(nodes) == 2 else exponential_weights(h, nodes)
            )
            x_s = _move(x_t, at_t, at_s, [estimate for _, estimate in known], weights)
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
        at_t, at_s, h = _ends(schedule, t, s)
        known = self._memory.recall(x_t, t) or [(at_t.log_snr_t, _ask(denoiser, x_t, t))]
        estimates, nodes = [estimate for _, estimate in known], _shares(known, h)
        if not h.isfinite():
            return self._memory.keep([], _hold(x_t, at_t, at_s, h, estimates[0]), s)
        if len(known) == 1:
            predicted = _hold(x_t, at_t, at_s, h, estimates[0])
            weights = midpoint_weights(h, 1.0)
        else:
            predicted = _move(x_t, at_t, at_s, estimates, midpoint_weights(h, nodes[1]))
            weights = exponential_weights(h, [0.0, 1.0, nodes[1]])
        x_0_s = _ask(denoiser, predicted, s)
        x_s = _move(x_t, at_t, at_s, [estimates[0], x_0_s, *estimates[1:]], weights)
        return self._memory.keep([(at_s.log_snr_t, x_0_s), known[0]], x_s, s)


# --8<-- [end:UniPC]


# --8<-- [start:churn_step]
def churn_step(
    denoiser: Denoiser,
    schedule: Schedule,
    x_t: Data,
    t: Time,
    s: Time,
    generator: torch.Generator | None = None,
    *,
    churn: float,
    between: tuple[float, float] = (0.0, math.inf),
    noise_scale: float = 1.0,
    step: Step = heun_step,
) -> Data:
    r"""Add a little noise, go up to the time that has it, and step down from there.

    $$\frac{\sigma_{\hat t}}{\alpha_{\hat t}} = (1 + \gamma) \frac{\sigma_t}{\alpha_t}, \qquad
    x_{\hat t} = \alpha_{\hat t|t}\, x_t + \sigma_{\hat t|t}\, z.$$

    The noise keeps the law of $x_t$ on the schedule, so a constant $\gamma$ times the number of
    steps leaves the order of the step that follows. Where nothing is left of the data there is
    nothing to stir, and where the schedule ends, so does the way up.

    Args:
        denoiser: Estimate of the clean data.
        schedule: Noise schedule.
        x_t: Noisy data.
        t: Its time.
        s: The cleaner time to go to.
        generator: Source of z; needed when `churn` > 0.
        churn: Share $\gamma$ by which the ratio of noise to signal grows. Karras et al. set it to
            $S_\mathrm{churn} / K$ in a walk of K steps, and at most $\sqrt 2 - 1$.
        between: Churn only where $\sigma_t / \alpha_t$ lies in this range, ends included.
        noise_scale: Factor on z, $S_\mathrm{noise}$ of Karras et al.; 1 keeps the law.
        step: The step down, Heun's as in EDM.

    Raises:
        ValueError: If `churn` or `noise_scale` is negative or not finite, or noise is needed and
            no generator is given.

    Source: Karras et al. 2022, arXiv 2206.00364.
    """
    if not (0 <= churn < math.inf and 0 <= noise_scale < math.inf):
        raise ValueError(
            "churn and noise_scale must be finite and at least 0, "
            f"got churn {churn}, noise_scale {noise_scale}"
        )
    at_t = schedule(t)
    ratio = at_t.sigma_t / at_t.alpha_t
    if churn == 0 or not ratio.isfinite() or not between[0] <= ratio <= between[1]:
        return step(denoiser, schedule, x_t, t, s, generator)
    last = schedule(torch.ones_like(t)).log_snr_t
    up = schedule.time_at(torch.maximum(at_t.log_snr_t - 2 * math.log1p(churn), last))
    kept, var = transition(schedule(up), at_t)
    x_up = kept * x_t + noise_scale * var.sqrt() * noise_like(x_t, generator)
    return step(denoiser, schedule, x_up, up, s, generator)


# --8<-- [end:churn_step]


class AdaptiveWalk(NamedTuple):
    """Where an adaptive solver arrived, and what it took.

    Attributes:
        x: Data at the last time.
        times: The times that the solver chose, falling.
        n_evals: Calls of the denoiser, refused steps included.
    """

    x: Data
    times: Times
    n_evals: int


# --8<-- [start:adaptive_sample]
@torch.no_grad()
def adaptive_sample(
    denoiser: Denoiser,
    schedule: Schedule,
    x_1: Data,
    t_max: float = 1.0,
    t_min: float = 0.001,
    rtol: float = 1e-5,
    atol: float = 1e-5,
) -> AdaptiveWalk:
    r"""Follow the velocity, with steps as large as the tolerance allows.

    The Runge-Kutta pair of Dormand and Prince: a rule of order five moves the data, a rule of order
    four beside it tells the error of the step. The whole batch shares its steps, and an example's
    result therefore depends a little on its company, within the tolerance.

    Args:
        denoiser: Estimate of the clean data.
        schedule: Noise schedule that the denoiser was made for.
        x_1: Start at `t_max`.
        t_max: Time of the start.
        t_min: Time to stop at, where some noise is left; the velocity needs it.
        rtol: Error allowed in a step, relative to the data, root mean square over the batch.
        atol: Error allowed besides, in units of the data.

    Returns:
        The data at `t_min`, in the dtype and on the device of `x_1`; the solver itself works in
        float64.

    Raises:
        ValueError: If not 0 < t_min < t_max <= 1, a tolerance is not positive, or the velocity
            is not finite at some time.
        RuntimeError: If the solver gives up.

    Source: Dormand & Prince 1980, <https://doi.org/10.1016/0771-050X(80)90013-3>, by way of scipy;
        for diffusion Song et al. 2021, arXiv 2011.13456.
    """
    if not 0 < t_min < t_max <= 1:
        raise ValueError(f"need 0 < t_min < t_max <= 1, got t_min {t_min}, t_max {t_max}")
    if not (rtol > 0 and atol > 0):
        raise ValueError(f"tolerances must be positive, got rtol {rtol}, atol {atol}")

    def slope(time: float, flat: Array) -> Array:
        x_t = torch.from_numpy(flat).reshape(x_1.shape).to(x_1)
        t = torch.tensor(time, dtype=torch.float64).clamp(t_min, t_max)
        velocity = velocity_from_x_0(_ask(denoiser, x_t, t), x_t, schedule(t))
        if not velocity.isfinite().all():
            raise ValueError(f"the velocity is not finite at t = {time:.4g}")
        return velocity.double().flatten().cpu().numpy()

    if x_1.numel() == 0:
        return AdaptiveWalk(x_1, torch.tensor([t_max, t_min], dtype=torch.float64), 0)
    start = x_1.double().flatten().cpu().numpy()
    walk = solve_ivp(slope, (t_max, t_min), start, method="RK45", rtol=rtol, atol=atol)
    if not walk.success:
        raise RuntimeError(f"the solver stopped at t = {walk.t[-1]:.4g}: {walk.message}")
    x = torch.from_numpy(walk.y[:, -1].copy()).reshape(x_1.shape).to(x_1)
    return AdaptiveWalk(x, torch.from_numpy(walk.t), int(walk.nfev))


# --8<-- [end:adaptive_sample]


def _ask(denoiser: Denoiser, x_t: Data, t: Time) -> Data:
    return denoiser(x_t, t.to(x_t).expand(len(x_t)))


def _ends(schedule: Schedule, t: Time, s: Time) -> tuple[Scales, Scales, Time]:
    """Scales at both ends and half the gain in log-SNR, which may be infinite."""
    at_t, at_s = schedule(t), schedule(s)
    if at_t.sigma_t == 0:
        raise ValueError(f"a step needs noise to take out, and there is none at t = {t:.4g}")
    return at_t, at_s, (at_s.log_snr_t - at_t.log_snr_t) / 2


def _shares(known: list[tuple[Tensor, Tensor]], h: Time) -> list[float]:
    """Where the estimates lie on the step: 0 for the newest, at t; the others before it."""
    newest = known[0][0]
    return [0.0] + [((log_snr - newest) / (2 * h)).item() for log_snr, _ in known[1:]]


def _move(
    x_t: Data, at_t: Scales, at_s: Scales, estimates: Sequence[Data], weights: Tensor
) -> Data:
    x_s = at_s.sigma_t / at_t.sigma_t * x_t
    for x_0_hat, weight in zip(estimates, weights, strict=True):
        x_s = x_s + at_s.alpha_t * weight * x_0_hat
    return x_s


def _hold(x_t: Data, at_t: Scales, at_s: Scales, h: Time, x_0_hat: Data) -> Data:
    return _move(x_t, at_t, at_s, [x_0_hat], -torch.expm1(-h).reshape(1))


def _by_midpoint(
    denoiser: Denoiser,
    schedule: Schedule,
    x_t: Data,
    at_t: Scales,
    at_s: Scales,
    h: Time,
    x_0_hat: Data,
) -> Data:
    """The step of order two when the estimate at t is known."""
    middle = schedule.time_at(at_t.log_snr_t + h)
    x_middle = _hold(x_t, at_t, schedule(middle), h / 2, x_0_hat)
    return _hold(x_t, at_t, at_s, h, _ask(denoiser, x_middle, middle))
