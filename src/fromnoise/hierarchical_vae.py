r"""Two levels of codes in a chain, each seeing only its neighbor: the Markovian hierarchical VAE.

The model draws $z_2 \sim \mathcal N(0, I)$, then $z_1 \sim p_\theta(z_1 \mid z_2)$, then the image
$x \sim p_\theta(x \mid z_1)$. The encoder climbs the same chain, $q(z_1 \mid x)\,q(z_2 \mid z_1)$.
With `kept` the upper encoder is not learned: it mixes $z_1$ with fresh noise, one step of the
process that diffusion models run many times. Rates and distortion in nats.

Source:
    Luo 2022, <https://arxiv.org/abs/2208.11970>.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fromnoise.batches import require_counts, require_shape
from fromnoise.decoders import Likelihood
from fromnoise.elbo import diagonal_log_prob, reparameterize
from fromnoise.networks import seeded
from fromnoise.vae import mlp


class ChainTerms(NamedTuple):
    """The three parts of the bound for each image, from one draw of both codes."""

    top_rate: Float[Tensor, "*draws batch"]
    r"""$\log q(z_2 \mid z_1) - \log p(z_2)$."""
    rate: Float[Tensor, "*draws batch"]
    r"""$\log q(z_1 \mid x) - \log p_\theta(z_1 \mid z_2)$."""
    distortion: Float[Tensor, "*draws batch"]
    r"""$-\log p_\theta(x \mid z_1)$."""

    @property
    def elbo(self) -> Float[Tensor, "*draws batch"]:
        """Estimate of the bound on log p(x), nats; also the log importance weight of the draw."""
        return -(self.top_rate + self.rate + self.distortion)


class MarkovianVAE(nn.Module):
    """Two latent levels for flat images."""

    def __init__(
        self,
        likelihood: Likelihood,
        n_latents: tuple[int, int] = (16, 16),
        n_dims: int = 64,
        width: int = 128,
        *,
        dropout: float = 0.0,
        kept: float | None = None,
        seed: int = 0,
    ) -> None:
        r"""Build the four networks; the weights come from `seed` alone.

        Args:
            likelihood: What the decoder's outputs mean.
            n_latents: Entries of the lower and of the upper code.
            n_dims: Pixels of an image.
            width: Hidden units of each layer.
            dropout: Share of hidden units silenced in training.
            kept: If given, the upper encoder is fixed:
                $z_2 = \alpha z_1 + \sqrt{1-\alpha^2}\,\epsilon$ with $\alpha$ = `kept`.
            seed: Seed of the first weights.

        Raises:
            ValueError: A size is below 1, or `kept` lies outside (0, 1), or is given for levels of
                different sizes.
        """
        super().__init__()
        lower, upper = n_latents
        require_counts(lower=lower, upper=upper, n_dims=n_dims, width=width)
        if kept is not None and not 0 < kept < 1:
            raise ValueError(f"kept must lie in (0, 1), got {kept}")
        if kept is not None and n_latents[0] != n_latents[1]:
            raise ValueError(f"a fixed upper encoder needs equal levels, got {n_latents}")
        self.likelihood, self.n_latents, self.n_dims = likelihood, n_latents, n_dims
        self.kept = kept
        with seeded(seed):
            self.encoder = mlp(n_dims, width, 2 * lower, dropout)
            self.upper_encoder = mlp(lower, width, 2 * upper, dropout)
            self.prior = mlp(upper, width, 2 * lower, dropout)
            self.decoder = mlp(lower, width, n_dims * likelihood.n_parameters, dropout)

    def climb(self, z_1: Float[Tensor, "batch lower"]) -> tuple[Tensor, Tensor]:
        r"""Mean and log variance of $q(z_2 \mid z_1)$."""
        if self.kept is not None:
            log_var = torch.log1p(torch.tensor(-(self.kept**2), dtype=z_1.dtype))
            return self.kept * z_1, log_var.to(z_1.device).expand_as(z_1)
        mean, log_var = self.upper_encoder(z_1).chunk(2, dim=-1)
        return mean, log_var

    def forward(
        self,
        x: Float[Tensor, "batch dims"],
        eps_1: Float[Tensor, "batch lower"],
        eps_2: Float[Tensor, "batch upper"],
    ) -> ChainTerms:
        """Both rates and the distortion of each image, at one draw of each code.

        Args:
            x: Images.
            eps_1: Standard normal noise for the lower codes.
            eps_2: Standard normal noise for the upper codes.

        Raises:
            ValueError: If the noise is not shaped like the codes.
        """
        mean_1, log_var_1 = self.encoder(x).chunk(2, dim=-1)
        require_shape("eps_1", eps_1, mean_1)
        z_1 = reparameterize(mean_1, log_var_1, eps_1)
        mean_2, log_var_2 = self.climb(z_1)
        require_shape("eps_2", eps_2, mean_2)
        z_2 = reparameterize(mean_2, log_var_2, eps_2)
        prior_mean, prior_log_var = self.prior(z_2).chunk(2, dim=-1)

        zero = torch.zeros_like(z_2)
        top_rate = diagonal_log_prob(z_2, mean_2, log_var_2) - diagonal_log_prob(z_2, zero, zero)
        rate = diagonal_log_prob(z_1, mean_1, log_var_1)
        rate = rate - diagonal_log_prob(z_1, prior_mean, prior_log_var)
        parameters = self.decoder(z_1).view(len(x), self.n_dims, self.likelihood.n_parameters)
        return ChainTerms(top_rate, rate, -self.likelihood.log_prob(parameters, x))

    def sample(self, n_samples: int, generator: torch.Generator) -> Float[Tensor, "n dims"]:
        """New images: down the chain from the prior.

        Args:
            n_samples: How many.
            generator: Source of the draws.

        Raises:
            ValueError: If `n_samples` is negative.
        """
        require_counts(0, n_samples=n_samples)
        weight = next(self.parameters())
        z = torch.randn(n_samples, self.n_latents[1], generator=generator, dtype=weight.dtype)
        mean, log_var = self.prior(z).chunk(2, dim=-1)
        eps = torch.randn(mean.shape, generator=generator, dtype=weight.dtype)
        parameters = self.decoder(reparameterize(mean, log_var, eps))
        parameters = parameters.view(n_samples, self.n_dims, self.likelihood.n_parameters)
        return self.likelihood.sample(parameters, generator)
