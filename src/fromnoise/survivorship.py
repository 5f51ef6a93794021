r"""What the survivors do not show: planes that come back, and networks that do not miss a part.

A fleet is hit at random, and each hit may bring the plane down; how likely depends on the region.
Only planes that return can be looked at. `vulnerability` says what can be known from them all the
same. `TwoWay` is a network in which either of two units can do the work of both.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from fromnoise.batches import require_counts


# --8<-- [start:fly]
@dataclass(frozen=True)
class Fleet:
    r"""Where planes are hit, and what a hit does.

    Attributes:
        area: Share $a_r$ of the hits that land in each region, positive, with sum 1.
        vulnerability: Chance $\delta_r$ that one hit in region r brings the plane down.
        hits: Mean number $\nu$ of hits per plane.

    Raises:
        ValueError: If a number is out of its range.
    """

    area: Float[Tensor, " regions"]
    vulnerability: Float[Tensor, " regions"]
    hits: float

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: If shares do not sum to 1, a chance is outside [0, 1] or `hits` is negative.
        """
        check_area(self.area)
        if not bool(((self.vulnerability >= 0) & (self.vulnerability <= 1)).all()):
            raise ValueError(f"vulnerability must lie in [0, 1], got {self.vulnerability.tolist()}")
        if not 0 <= self.hits < float("inf"):
            raise ValueError(f"hits must be at least 0 and finite, got {self.hits}")


class Flown(NamedTuple):
    """One mission: the hits of every plane by region, and which planes came back."""

    hits: Int[Tensor, "planes regions"]
    returned: Bool[Tensor, " planes"]


def fly(fleet: Fleet, n_planes: int, generator: torch.Generator) -> Flown:
    r"""Send planes out: hits are Poisson, $n_r \sim \mathrm{Poisson}(\nu a_r)$.

    A plane returns if it survives all its hits, with probability $\prod_r (1 - \delta_r)^{n_r}$.

    Args:
        fleet: The fleet.
        n_planes: Number of planes, at least 1.
        generator: Source of the luck.

    Raises:
        ValueError: If `n_planes` is below 1.
    """
    if n_planes < 1:
        raise ValueError(f"n_planes must be at least 1, got {n_planes}")
    rates = (fleet.hits * fleet.area).expand(n_planes, -1)
    hits = torch.poisson(rates, generator=generator).long()
    survives = ((1 - fleet.vulnerability) ** hits).prod(-1)
    luck = torch.rand(n_planes, generator=generator, dtype=survives.dtype)
    return Flown(hits, luck < survives)


# --8<-- [end:fly]


# --8<-- [start:single_hit_vulnerability]
def single_hit_vulnerability(
    holes: Float[Tensor, "*batch regions"],
    returned: Float[Tensor, "*batch"],
    area: Float[Tensor, " regions"],
) -> Float[Tensor, "*batch regions"]:
    r"""Bayes' rule for planes hit once: $\delta_r = 1 - P(r \mid \text{back})\, \rho / a_r$.

    Args:
        holes: Share $P(r \mid \text{back})$ of the holes that are in each region.
        returned: Share $\rho$ of the planes that came back.
        area: Share $a_r = P(r)$ of all hits that land there. Survivors cannot tell it.

    Returns:
        Estimates; below 0 where chance put more holes than hits were expected.

    Raises:
        ValueError: If `area` is not positive with sum 1 or a share lies outside [0, 1].
    """
    check_area(area)
    check_returned(returned)
    return 1 - holes * returned[..., None] / area


# --8<-- [end:single_hit_vulnerability]


# --8<-- [start:vulnerability]
def vulnerability(
    holes: Float[Tensor, "*batch regions"],
    returned: Float[Tensor, "*batch"],
    area: Float[Tensor, " regions"],
) -> Float[Tensor, "*batch regions"]:
    r"""The same for planes hit any number of times: $\delta_r = 1 - m_r / (\nu a_r)$.

    The rate of hits is known too: $\nu = \sum_r m_r - \log \rho$.

    Args:
        holes: Mean number $m_r$ of holes in each region of a plane that returned.
        returned: Share $\rho$ of the planes that came back, above 0.
        area: Share $a_r$ of all hits that land in each region. Survivors cannot tell it.

    Returns:
        Estimates; below 0 where chance put more holes than hits were expected.

    Raises:
        ValueError: If `area` is not positive with sum 1, a share lies outside (0, 1], or no plane
            was hit and none lost.

    Examples:
        Half the planes return. Hits fall on both parts alike; few holes are left where they kill.

        >>> holes, area = torch.tensor([0.8, 0.2]), torch.tensor([0.5, 0.5])
        >>> vulnerability(holes, torch.tensor(0.5), area)
        tensor([0.0550, 0.7638])
    """
    check_area(area)
    check_returned(returned)
    rate = holes.sum(-1) - returned.log()
    if not bool((rate > 0).all()):
        raise ValueError("no plane was hit and none was lost: nothing can be said")
    return 1 - holes / (rate[..., None] * area)


# --8<-- [end:vulnerability]


# --8<-- [start:TwoWay]
class TwoWay(nn.Module):
    """A yes-or-no network whose whole message passes through a waist of two units.

    With `forget`, training silences the first unit, the second or neither, each for a third of the
    examples, so that either must be able to do the work alone. It is dropout that never drops both.

    Source:
        Dropout: Srivastava et al. 2014, *Dropout: a simple way to prevent neural networks from
        overfitting*.
    """

    def __init__(self, n_inputs: int, n_hidden: int = 32, *, forget: bool = True) -> None:
        """Draw the weights from the global random state; seed it first.

        Args:
            n_inputs: Number of inputs.
            n_hidden: Number of hidden units.
            forget: Silence units during training.

        Raises:
            ValueError: If a size is below 1.
        """
        super().__init__()
        require_counts(n_inputs=n_inputs, n_hidden=n_hidden)
        self.hidden = nn.Sequential(nn.Linear(n_inputs, n_hidden), nn.ReLU(), nn.Dropout(0.3))
        self.waist = nn.Sequential(nn.Linear(n_hidden, 2), nn.Tanh())
        self.answer = nn.Linear(2, 1)
        self.forget = forget

    def forward(self, x: Float[Tensor, "batch n_inputs"]) -> Float[Tensor, " batch"]:
        """Log-odds of yes.

        Args:
            x: Examples.
        """
        message = self.waist(self.hidden(x))
        if self.training and self.forget:
            # The global random state: `train` seeds it for each step.
            keep = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]).to(message)
            message = message * keep[torch.randint(3, (len(x),))]
        return self.answer(message)[:, 0]


# --8<-- [end:TwoWay]


def check_area(area: Float[Tensor, " regions"]) -> None:
    """Raise ValueError unless the shares are positive and sum to 1."""
    if len(area) == 0 or not bool((area > 0).all()) or abs(float(area.sum()) - 1) > 1e-5:
        raise ValueError(f"area must be positive with sum 1, got {area.tolist()}")


def check_returned(returned: Float[Tensor, "*batch"]) -> None:
    """Raise ValueError unless every share lies in (0, 1]."""
    if not bool(((returned > 0) & (returned <= 1)).all()):
        raise ValueError(f"returned must lie in (0, 1], got {returned.tolist()}")
