r"""Generative adversarial network: a forger and an inspector, trained against each other.

The generator turns noise into points. The discriminator gives each point a logit; $D$, the sigmoid
of it, is the probability that the point is real. The game's value is
$V = E_q \log D(x) + E_p \log(1 - D(x))$, with $q$ the data and $p$ the generator. There is no
density: the face is `fit` and `sample`, and `log_prob` cannot be had.

Losses give one value per example, in nats; they are written in logits, where no logarithm meets 0.

Source:
    Goodfellow et al. 2014, <https://arxiv.org/abs/1406.2661>.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import vjp

from fromnoise.batches import require_counts, require_shape
from fromnoise.networks import seeded
from fromnoise.training import NonFiniteLoss, update_average

Points = Float[Tensor, "batch dim"]
PerPoint = Float[Tensor, " batch"]
Logits = Float[Tensor, "*batch"]
GeneratorLoss = Callable[[Tensor], Tensor]
"""Loss of the generator, given the logits of its points."""


# --8<-- [start:losses]
def real_loss(logit: Logits) -> Logits:
    r"""The discriminator's loss on a real point, $-\log D$."""
    return F.softplus(-logit)


def fake_loss(logit: Logits) -> Logits:
    r"""The discriminator's loss on a forged point, $-\log(1 - D)$."""
    return F.softplus(logit)


def saturating_loss(logit: Logits) -> Logits:
    r"""The generator's loss of the game, $\log(1 - D)$; flat where the forgery is plain to see.

    Against the optimal discriminator its gradient is that of $2\,\mathrm{JS}(q, p)$.
    """
    return -F.softplus(logit)


def non_saturating_loss(logit: Logits) -> Logits:
    r"""The loss in use, $-\log D$: steep where the forgery is plain to see.

    Against the optimal discriminator its gradient is that of
    $D_{KL}(p \Vert q) - 2\,\mathrm{JS}(q, p)$.

    Source:
        Goodfellow et al. 2014, <https://arxiv.org/abs/1406.2661>; what it follows: Arjovsky and
        Bottou 2017, <https://arxiv.org/abs/1701.04862>.
    """
    return F.softplus(-logit)


# --8<-- [end:losses]


# --8<-- [start:optimal_logit]
def optimal_logit(log_q: Logits, log_p: Logits) -> Logits:
    r"""Logit of the best discriminator, $\log q(x) - \log p(x)$, so that $D = q / (q + p)$.

    Against it the value is $2\,\mathrm{JS}(q, p) - 2 \log 2$.

    Args:
        log_q: Log density of the data at each point.
        log_p: Log density of the generator there.

    Raises:
        ValueError: If the two differ in shape.
    """
    require_shape("log_p", log_p, log_q)
    return log_q - log_p


# --8<-- [end:optimal_logit]


# --8<-- [start:gradient_penalty]
def gradient_penalty(discriminator: Callable[[Tensor], Tensor], x: Points) -> PerPoint:
    r"""Half the squared slope of the logit, $\tfrac12 \Vert \nabla_x \text{logit}(x) \Vert^2$.

    Taken at real points, it lets a discriminator that can gain nothing more fall flat, and the
    two players come to rest instead of circling.

    Args:
        discriminator: Points to logits, each point on its own.
        x: Real points.

    Source:
        Mescheder, Geiger and Nowozin 2018, <https://arxiv.org/abs/1801.04406>.
    """
    logit, pull_back, *_ = vjp(discriminator, x)
    (slope,) = pull_back(torch.ones_like(logit))
    return 0.5 * slope.square().sum(1)


# --8<-- [end:gradient_penalty]


def _mlp(n_inputs: int, width: int, n_outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_inputs, width),
        nn.SiLU(),
        nn.Linear(width, width),
        nn.SiLU(),
        nn.Linear(width, n_outputs),
    )


class GAN(nn.Module):
    """A generator and a discriminator for points of a few dimensions."""

    def __init__(self, n_dims: int, n_latents: int = 4, width: int = 64, *, seed: int = 0) -> None:
        """Draw the weights from `seed` alone.

        Args:
            n_dims: Entries of a point.
            n_latents: Entries of the noise that a point is made from.
            width: Hidden units of each layer.
            seed: Of the weights.

        Raises:
            ValueError: If a size is below 1.
        """
        super().__init__()
        if min(n_dims, n_latents, width) < 1:
            raise ValueError(f"sizes must be at least 1, got {n_dims}, {n_latents}, {width}")
        self.n_dims, self.n_latents = n_dims, n_latents
        with seeded(seed):
            self.generator = _mlp(n_latents, width, n_dims)
            self.discriminator = _mlp(n_dims, width, 1)

    def generate(self, z: Float[Tensor, "batch latents"]) -> Points:
        """Points made from noise."""
        return self.generator(z)

    def logit(self, x: Points) -> PerPoint:
        """How real each point looks: 0 is undecided, positive is real.

        Args:
            x: Points.
        """
        return self.discriminator(x)[:, 0]

    def noise(
        self, n_samples: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n_samples latents"]:
        """Standard normal noise to generate from.

        Args:
            n_samples: How many.
            generator: Source of the draws; None is PyTorch's own.

        Raises:
            ValueError: If `n_samples` is negative.
        """
        require_counts(0, n_samples=n_samples)
        weight = next(self.parameters())
        shape = (n_samples, self.n_latents)
        return torch.randn(shape, generator=generator, dtype=weight.dtype, device=weight.device)

    @torch.no_grad()
    def sample(
        self, n_samples: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n_samples dim"]:
        """New points.

        Args:
            n_samples: How many.
            generator: Source of the draws; None is PyTorch's own.
        """
        return self.generate(self.noise(n_samples, generator))


@dataclass(frozen=True)
class Settings:
    """The choices of a game.

    Attributes:
        batch_size: Real points, and as many made ones, per move.
        learning_rate: Of Adam, for both.
        seed: Of batches and noise.

    Raises:
        ValueError: If a number is out of its range.
    """

    n_steps: int = 2000
    batch_size: int = 256
    learning_rate: float = 2e-3
    penalty: float = 0.1
    """Weight of the `gradient_penalty`; 0 leaves it out."""
    ema_decay: float = 0.995
    """The generator that is kept is an average over about 1 / (1 - ema_decay) steps."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_steps < 1 or self.batch_size < 1:
            raise ValueError(
                f"n_steps and batch_size must be at least 1, got {self.n_steps}, {self.batch_size}"
            )
        if not (0 < self.learning_rate < math.inf and 0 <= self.penalty < math.inf):
            raise ValueError(
                "learning_rate must be positive and penalty at least 0, "
                f"got {self.learning_rate}, {self.penalty}"
            )
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must lie in [0, 1), got {self.ema_decay}")


SETTINGS = Settings()


# --8<-- [start:fit]
def fit(
    data: Float[Tensor, "n dim"],
    loss: GeneratorLoss = non_saturating_loss,
    n_latents: int = 4,
    width: int = 64,
    settings: Settings = SETTINGS,
) -> GAN:
    """Play the game: one step of the discriminator, one of the generator, and again.

    Args:
        data: Training points.
        loss: What the generator makes small.
        n_latents: Entries of the noise.
        width: Hidden units of each layer.
        settings: Of the game; its seed also draws the first weights.

    Raises:
        NonFiniteLoss: A loss is NaN or infinite; names the step.
        ValueError: If there are no data.
    """
    if len(data) == 0:
        raise ValueError("there are no data to train on")
    model = GAN(data.shape[1], n_latents, width, seed=settings.seed).to(data)
    kept = GAN(data.shape[1], n_latents, width, seed=settings.seed).to(data)
    rng = torch.Generator(data.device).manual_seed(settings.seed)
    # No first moment: it would remember where the other player stood.
    inspector, forger = (
        torch.optim.Adam(part.parameters(), lr=settings.learning_rate, betas=(0.0, 0.99))
        for part in (model.discriminator, model.generator)
    )
    for step in range(1, settings.n_steps + 1):
        rows = torch.randint(len(data), (settings.batch_size,), generator=rng, device=data.device)
        real = data[rows]
        forged = model.generate(model.noise(settings.batch_size, rng))

        inspection = real_loss(model.logit(real)) + fake_loss(model.logit(forged.detach()))
        if settings.penalty > 0:
            inspection = inspection + settings.penalty * gradient_penalty(model.logit, real)
        inspector.zero_grad()
        inspection.mean().backward()
        inspector.step()

        forgery = loss(model.logit(forged)).mean()
        forger.zero_grad()
        forgery.backward()
        forger.step()

        if not torch.isfinite(inspection.mean() + forgery):
            raise NonFiniteLoss(step, inspection.mean().item(), forgery.item())
        update_average(kept.generator, model.generator, step, settings.ema_decay)
    kept.discriminator.load_state_dict(model.discriminator.state_dict())
    return kept.eval().requires_grad_(False)


# --8<-- [end:fit]
