r"""Couplings: which noise belongs to which data, and how straight the paths between them are.

The lines between data and noise may cross and the flow may not, so its paths bend. How much
depends on who is paired with whom: at random, by optimal transport, or by a flow.

Source: Liu et al. 2023, arXiv 2209.03003; Tong et al. 2024, arXiv 2302.00482.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from fromnoise.batches import require_shape
from fromnoise.samplers import Denoiser, Step, heun_step, sample
from fromnoise.schedules import Schedule, beside

Data = Float[Tensor, "batch *dims"]
Times = Float[Tensor, " n_times"]


# --8<-- [start:optimal_coupling]
def optimal_coupling(x_0: Data, eps: Data) -> Int[Tensor, " batch"]:
    r"""Pair a batch of data with a batch of noise so that the lines are short.

    $$\pi = \arg\min_\pi \sum_i \Vert x_0^i - \epsilon^{\pi(i)} \Vert^2.$$

    The exact assignment within the batch, in a time that grows like the cube of its size. Both
    batches keep their law; as batches grow, the pairing tends to optimal transport.

    Args:
        x_0: Clean data.
        eps: Noise, shaped like `x_0`.

    Returns:
        For each data point the index of its noise: train on `x_0` and `eps[pairs]`.

    Raises:
        ValueError: If the shapes differ, or an entry is not finite.

    Source: Tong et al. 2024, arXiv 2302.00482; Pooladian et al. 2023, arXiv 2304.14772.
    """
    require_shape("eps", eps, x_0)
    cost = _flat(x_0) @ _flat(eps).mT
    if not cost.isfinite().all():
        raise ValueError("data and noise must be finite to be paired")
    # The squares of the points add the same to every pairing; only the products count.
    _, pairs = linear_sum_assignment(cost.cpu().numpy(), maximize=True)
    return torch.from_numpy(pairs).to(x_0.device)


# --8<-- [end:optimal_coupling]


class Pairs(NamedTuple):
    """Data and the noise it belongs to.

    Attributes:
        x_0: Clean data.
        eps: Noise, one for each.
    """

    x_0: Data
    eps: Data


# --8<-- [start:reflow_pairs]
def reflow_pairs(
    denoiser: Denoiser, schedule: Schedule, eps: Data, times: Times, step: Step = heun_step
) -> Pairs:
    r"""Pair noise with the data that a model makes of it, to train a straighter model on.

    The paths of a flow do not cross, so the lines between their ends cross less than before. The
    errors of the teacher, of its training and of its steps, are in the pairs and stay.

    Args:
        denoiser: The teacher.
        schedule: The schedule it was made for.
        eps: Standard normal noise.
        times: Falling times from the noise to the data, as for `sample`.
        step: The teacher's step; it must not draw noise.

    Returns:
        The pairs, `eps` unchanged.

    Raises:
        ValueError: As `sample`, or if there are no times.

    Source: Liu et al. 2023, arXiv 2209.03003.
    """
    if len(times) == 0:
        raise ValueError("there are no times to walk over")
    start = beside(schedule(times[0].double()).sigma_t, eps) * eps
    return Pairs(sample(denoiser, schedule, start, times, step), eps)


# --8<-- [end:reflow_pairs]


# --8<-- [start:straightness]
def straightness(
    path: Float[Tensor, "n_times batch *dims"], times: Times
) -> Float[Tensor, " batch"]:
    r"""How far a path is from a straight line at constant speed; 0 is straight.

    $$S = \frac1{|T|} \Big| \int \Big\Vert \dot x_t - \frac{x_\mathrm{last} - x_\mathrm{first}}{T}
    \Big\Vert^2 dt \Big|, \qquad T = t_\mathrm{last} - t_\mathrm{first},$$

    by differences along the path. For independent pairs on straight lines, Gaussian data of
    standard deviation $s$ give $(2 - \tfrac\pi2)\, s$ on average in each dimension.

    Args:
        path: States at `times`, as `sample` returns them with `return_path=True`.
        times: At least two times, all rising or all falling.

    Returns:
        One value per example, summed over dimensions, in units of the data squared.

    Raises:
        ValueError: If there is not one state per time, or the times turn or stand still.

    Source: Liu et al. 2023, arXiv 2209.03003 (with $|T| = 1$).
    """
    times = times.double()
    gaps = times.diff()
    if len(times) != len(path) or len(times) < 2 or not ((gaps > 0).all() or (gaps < 0).all()):
        raise ValueError(
            f"need one state for each of two or more times, all rising or falling, got "
            f"{len(path)} states at {times.tolist()}"
        )
    chord = (path[-1] - path[0]) / (times[-1] - times[0])
    speeds = path.diff(dim=0) / beside(gaps, path[1:])
    bends = (speeds - chord).square().flatten(2).sum(2)
    return (beside(gaps / gaps.sum(), bends) * bends).sum(0)


# --8<-- [end:straightness]


def _flat(x: Data) -> Float[Tensor, "batch n_dims"]:
    return x.detach().double().flatten(1)
