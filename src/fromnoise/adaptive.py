r"""An adaptive solver: the velocity followed with steps as large as a tolerance allows.

Source: Dormand & Prince 1980, <https://doi.org/10.1016/0771-050X(80)90013-3>.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from numpy import float64
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from torch import Tensor

from fromnoise.batches import ask
from fromnoise.samplers import Denoiser
from fromnoise.schedules import Schedule
from fromnoise.targets import velocity_from_x_0

Data = Float[Tensor, "batch *dims"]
Times = Float[Tensor, " n_times"]
Array = NDArray[float64]


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
        velocity = velocity_from_x_0(ask(denoiser, x_t, t), x_t, schedule(t))
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
