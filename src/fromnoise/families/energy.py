r"""Energy-based model: any function is a density, up to a constant that nobody knows.

$p(x) = e^{-E(x)} / Z$. Training lowers the energy of the data and raises it where the model's own
samples fall; those come from Langevin dynamics, which needs the slope of $E$ and not $Z$. In one
or two dimensions $Z$ is an integral that a grid can do, so `log_prob` is there to check with.
Densities are in nats, summed over dimensions.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import vjp

from fromnoise.batches import require_counts
from fromnoise.langevin import langevin
from fromnoise.networks import seeded
from fromnoise.training import NonFiniteLoss, update_average

Points = Float[Tensor, "batch dim"]
PerPoint = Float[Tensor, " batch"]
Energy = Callable[[Tensor], Tensor]
"""Maps each point to its energy, one number."""


# --8<-- [start:contrastive_loss]
def contrastive_loss(
    energy: Energy, x: Float[Tensor, "n_data dim"], negatives: Float[Tensor, "n_negatives dim"]
) -> Float[Tensor, ""]:
    r"""Energy of the data less that of the negatives: $E_q[E(x)] - E_{p'}[E(x)]$, means.

    With negatives from the model, $p' = p$, its gradient in the weights is that of the negative log
    likelihood; its value is not. With negatives $p' = q_k$, $k$ steps of a chain from the data, it
    is the gradient of $D_{KL}(q \Vert p) - D_{KL}(q_k \Vert p)$ with $q_k$ held still: contrastive
    divergence.

    Args:
        energy: The energy in training.
        x: Data.
        negatives: The model's points; no gradient flows into them.

    Raises:
        ValueError: If there are no data or no negatives.

    Source:
        Hinton 2002, <https://doi.org/10.1162/089976602760128018>.
    """
    if min(len(x), len(negatives)) == 0:
        raise ValueError(f"need data and negatives, got {len(x)} and {len(negatives)}")
    return energy(x).mean() - energy(negatives.detach()).mean()


# --8<-- [end:contrastive_loss]


# --8<-- [start:energy_score]
def energy_score(energy: Energy, x: Points) -> Points:
    r"""The score of the density, $-\nabla E(x)$: the constant has no slope."""
    value, pull_back, *_ = vjp(energy, x)
    (slope,) = pull_back(torch.ones_like(value))
    return -slope


# --8<-- [end:energy_score]


class EnergyModel(nn.Module):
    r"""A network in a bowl: $E(x) = f_\theta(x) + \Vert x - m \Vert^2 / 2 w^2$.

    The network grows no faster than linearly, so the bowl makes $Z$ finite.
    """

    center: Tensor
    bowl_width: Tensor

    def __init__(self, n_dims: int, width: int = 64, *, seed: int = 0) -> None:
        """Draw the weights from `seed` alone.

        Args:
            n_dims: Entries of a point.
            width: Hidden units of each of the two layers.
            seed: Of the weights.

        Raises:
            ValueError: If a size is below 1.
        """
        super().__init__()
        if min(n_dims, width) < 1:
            raise ValueError(f"sizes must be at least 1, got {n_dims}, {width}")
        self.n_dims = n_dims
        self.register_buffer("center", torch.zeros(n_dims))
        self.register_buffer("bowl_width", torch.ones(()))
        with seeded(seed):
            self.network = nn.Sequential(
                nn.Linear(n_dims, width),
                nn.SiLU(),
                nn.Linear(width, width),
                nn.SiLU(),
                nn.Linear(width, 1),
            )

    def energy(self, x: Points) -> PerPoint:
        """The energy; low where points are likely."""
        u = (x - self.center) / self.bowl_width
        return self.network(u)[:, 0] + 0.5 * u.square().sum(1)

    def score(self, x: Points) -> Points:
        """Gradient of the log density."""
        return energy_score(self.energy, x)

    def start(
        self, n_samples: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n_samples dim"]:
        """Points of the empty bowl, a Gaussian: where a chain starts.

        Args:
            n_samples: How many.
            generator: Source of the draws; None is PyTorch's own.

        Raises:
            ValueError: If `n_samples` is negative.
        """
        require_counts(0, n_samples=n_samples)
        shape, like = (n_samples, self.n_dims), self.center
        z = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
        return self.center + self.bowl_width * z

    # --8<-- [start:sample]
    @torch.no_grad()
    def sample(
        self,
        n_samples: int,
        generator: torch.Generator,
        n_steps: int = 500,
        step: float = 0.03,
    ) -> Float[Tensor, "n_samples dim"]:
        """New points, by Langevin dynamics with Metropolis' correction.

        The chain is stationary at the model's density. It has reached it only if it is long enough.

        Args:
            n_samples: Number of chains, one point from each.
            generator: Source of the noise.
            n_steps: Steps of each chain.
            step: Step size, in units of variance.
        """
        x = self.start(n_samples, generator)
        return langevin(self.score, x, n_steps, step, generator, lambda x: -self.energy(x))

    # --8<-- [end:sample]

    # --8<-- [start:log_partition]
    def log_partition(self, reach: float = 8.0, n_per_axis: int = 241) -> Float[Tensor, ""]:
        r"""$\log Z = \log \int e^{-E(x)}\, dx$ by the trapezoid rule on a square grid.

        Args:
            reach: Half the side of the square, in widths of the bowl.
            n_per_axis: Points of the grid along each axis.

        Raises:
            ValueError: In more than two dimensions, or if the grid is empty.
        """
        if self.n_dims > 2:
            raise ValueError(f"a grid can do 1 or 2 dimensions, got {self.n_dims}")
        if not (reach > 0 and n_per_axis > 1):
            raise ValueError(f"need reach > 0 and n_per_axis > 1, got {reach}, {n_per_axis}")
        like = self.center
        axis = torch.linspace(-reach, reach, n_per_axis, dtype=like.dtype, device=like.device)
        grid = torch.cartesian_prod(*[axis] * self.n_dims).view(-1, self.n_dims)
        spacing = 2 * reach / (n_per_axis - 1) * self.bowl_width
        log_masses = -self.energy(self.center + self.bowl_width * grid)
        return log_masses.logsumexp(0) + self.n_dims * spacing.log()

    # --8<-- [end:log_partition]

    def log_prob(self, x: Points) -> PerPoint:
        r"""Log density $-E(x) - \log Z$, nats; in 1 or 2 dimensions only.

        Raises:
            ValueError: In more than two dimensions.
        """
        return -self.energy(x) - self.log_partition()


@dataclass(frozen=True)
class Settings:
    """The choices of a training run.

    Attributes:
        batch_size: Points per step.
        learning_rate: Of Adam.
        n_chains: Chains that are kept.
        seed: Of batches and chains.

    Raises:
        ValueError: If a number is out of its range.
    """

    n_steps: int = 600
    batch_size: int = 256
    learning_rate: float = 5e-3
    n_chains: int = 512
    n_chain_steps: int = 10
    """Langevin steps between two steps of the weights."""
    chain_step: float = 0.02
    """In units of variance."""
    restart: float = 0.02
    """Share of the chains that start anew at each step of the weights, so that none is stuck."""
    ema_decay: float = 0.99
    seed: int = 0

    def __post_init__(self) -> None:
        sizes = (self.n_steps, self.batch_size, self.n_chains, self.n_chain_steps)
        if min(sizes) < 1:
            raise ValueError(f"numbers of steps, rows and chains must be at least 1, got {sizes}")
        if not (0 < self.learning_rate < math.inf and 0 < self.chain_step < math.inf):
            raise ValueError(
                "learning_rate and chain_step must be positive, "
                f"got {self.learning_rate}, {self.chain_step}"
            )
        if not (0 <= self.restart <= 1 and 0 <= self.ema_decay < 1):
            raise ValueError(
                "restart must lie in [0, 1] and ema_decay in [0, 1), "
                f"got {self.restart}, {self.ema_decay}"
            )


SETTINGS = Settings()


# --8<-- [start:fit]
def fit(
    data: Float[Tensor, "n dim"], width: int = 64, settings: Settings = SETTINGS
) -> EnergyModel:
    """Persistent contrastive divergence: the chains go on from where they were.

    Args:
        data: Training points, at least two different ones.
        width: Hidden units of each layer.
        settings: Of the training; its seed also draws the first weights.

    Raises:
        NonFiniteLoss: The loss is NaN or infinite; names the step.
        ValueError: If the data do not vary.

    Source:
        Tieleman 2008, <https://doi.org/10.1145/1390156.1390290>.
    """
    model, kept = (EnergyModel(data.shape[1], width, seed=settings.seed).to(data) for _ in range(2))
    spread = data.std(0, correction=0).max()
    if not spread > 0:
        raise ValueError("the data do not vary: there is no width to give the bowl")
    for part in (model, kept):
        part.center.copy_(data.mean(0))
        part.bowl_width.copy_(spread)
    generator = torch.Generator(data.device).manual_seed(settings.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99))
    chains = model.start(settings.n_chains, generator)
    for step in range(1, settings.n_steps + 1):
        # Down to nothing: the weights settle, and the chains catch up with them.
        share = 0.5 * (1 + math.cos(math.pi * (step - 1) / settings.n_steps))
        optimizer.param_groups[0]["lr"] = settings.learning_rate * share
        anew = torch.rand(len(chains), generator=generator, device=data.device) < settings.restart
        chains = torch.where(anew[:, None], model.start(len(chains), generator), chains)
        chains = langevin(
            model.score, chains, settings.n_chain_steps, settings.chain_step, generator
        )
        rows = torch.randint(
            len(data), (settings.batch_size,), generator=generator, device=data.device
        )
        loss = contrastive_loss(model.energy, data[rows], chains)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if not torch.isfinite(loss):
            raise NonFiniteLoss(step, loss.item(), math.nan)
        update_average(kept, model, step, settings.ema_decay)
    return kept.eval().requires_grad_(False)


# --8<-- [end:fit]
