r"""Masked diffusion: noise that hides tokens one by one, and a model that guesses the hidden ones.

At time t each token is replaced by the blank with probability $m_t$, independently; a hidden token
stays hidden. Time 0 is the text, at time 1 all is blank. The model is a `Conditional`: it sees the
visible tokens and scores every character at every place, as a `Transformer` does that is not
causal. It need not know the time: what is visible tells it all. Costs are in nats, summed over the
text; losses are per character.
"""

import math
from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from fromnoise.training import Batch, Loss
from fromnoise.transformer import Logits, Tokens

PerExample = Float[Tensor, " batch"]


@runtime_checkable
class Conditional(Protocol):
    """A model of hidden tokens: tokens in, scores of every character at every place out."""

    @property
    def blank(self) -> int:
        """The token that hides; the characters are the tokens below it."""
        ...

    def __call__(self, tokens: Tokens) -> Logits:
        r"""Scores whose softmax is $p(x_i \mid \text{visible tokens})$."""
        ...


class MaskRates(NamedTuple):
    """How much is hidden at some times."""

    masked: Tensor
    """Probability $m_t$ that a token is hidden."""
    d_masked: Tensor
    r"""Its time derivative $\dot m_t$."""

    @property
    def weight(self) -> Tensor:
        r"""Weight of a hidden token's cost in the bound, $\dot m_t / m_t$."""
        return self.d_masked / self.masked


# --8<-- [start:MaskSchedule]
class MaskSchedule(ABC):
    """How the share of hidden tokens grows, from 0 at t = 0 to 1 at t = 1."""

    @abstractmethod
    def __call__(self, t: Float[Tensor, "*shape"]) -> MaskRates:
        """Rates at times in [0, 1]."""


class LinearMask(MaskSchedule):
    r"""$m_t = t$: the weight is $1/t$."""

    def __call__(self, t: Float[Tensor, "*shape"]) -> MaskRates:
        """Rates at times in [0, 1].

        Raises:
            ValueError: If a time is outside.
        """
        _check_times(t)
        return MaskRates(t, torch.ones_like(t))


class CosineMask(MaskSchedule):
    r"""$m_t = 1 - \cos(\pi t / 2)$: hides little at first."""

    def __call__(self, t: Float[Tensor, "*shape"]) -> MaskRates:
        """Rates at times in [0, 1].

        Raises:
            ValueError: If a time is outside.
        """
        _check_times(t)
        # 2 sin^2(x / 2) for 1 - cos(x), which would lose all digits near t = 0.
        masked = 2 * (math.pi / 4 * t).sin().square()
        return MaskRates(masked, math.pi / 2 * (math.pi / 2 * t).sin())


# --8<-- [end:MaskSchedule]


# --8<-- [start:surprises]
def surprises(
    conditional: Conditional, x_0: Tokens, hidden: Bool[Tensor, "batch length"]
) -> Float[Tensor, "batch length"]:
    r"""Cost of each hidden token, $-\log p(x_i \mid x_V)$; 0 where the token is visible.

    Args:
        conditional: The model.
        x_0: Complete texts.
        hidden: Which tokens the model does not see.
    """
    x_t = torch.where(hidden, conditional.blank, x_0)
    log_p = conditional(x_t).log_softmax(-1).gather(-1, x_0[..., None])[..., 0]
    return -torch.where(hidden, log_p, torch.zeros_like(log_p))


# --8<-- [end:surprises]


# --8<-- [start:masked_cost]
def masked_cost(
    conditional: Conditional,
    x_0: Tokens,
    t: PerExample,
    u: Float[Tensor, "batch length"],
    schedule: MaskSchedule,
) -> PerExample:
    r"""One draw of the bound on the surprise of a text, at one time and one hidden set H.

    $-\frac{\dot m_t}{m_t} \sum_{i \in H} \log p(x_i \mid x_V)$, with V the visible places. Its mean
    over uniform t and u is at least $-\log p(x_0)$, and the same for every schedule. The weight
    makes up for the few tokens that are hidden at early times.

    Args:
        conditional: The model.
        x_0: Complete texts.
        t: Times in (0, 1], where the weight is finite.
        u: Uniform on [0, 1); a token is hidden where $u < m_t$.
        schedule: How the share of hidden tokens grows.

    Raises:
        ValueError: If a time is not in (0, 1], or shapes do not fit.

    Source:
        Sahoo et al. 2024, <https://arxiv.org/abs/2406.07524>; Shi et al. 2024,
        <https://arxiv.org/abs/2406.04329>.
    """
    _require_draws(x_0, t, u)
    if not bool((t > 0).all()):
        raise ValueError(f"t must lie in (0, 1], got {t.min():.3g}: the weight is infinite at 0")
    rates = schedule(t)
    return rates.weight * surprises(conditional, x_0, u < rates.masked[:, None]).sum(-1)


# --8<-- [end:masked_cost]


# --8<-- [start:any_order_cost]
def any_order_cost(
    conditional: Conditional,
    x_0: Tokens,
    n_hidden: Int[Tensor, " batch"],
    u: Float[Tensor, "batch length"],
) -> PerExample:
    r"""Another draw of the same bound, with a number n of hidden tokens instead of a time.

    $-\frac{L}{n} \sum_{i \in H} \log p(x_i \mid x_V)$. The mean is taken over n uniform on
    1, ..., L. It is the cost of the next token at a random point of a random order, times L.

    Args:
        conditional: The model.
        x_0: Complete texts of L tokens.
        n_hidden: Number n of hidden tokens.
        u: Uniform on [0, 1); the n smallest of a row are hidden.

    Raises:
        ValueError: If a number of hidden tokens is not in 1..L.

    Source:
        Uria et al. 2014, <https://arxiv.org/abs/1310.1757>; Hoogeboom et al. 2022,
        <https://arxiv.org/abs/2110.02037>.
    """
    _require_draws(x_0, n_hidden, u)
    length = x_0.shape[1]
    if not bool(((n_hidden >= 1) & (n_hidden <= length)).all()):
        raise ValueError(f"n_hidden must lie in 1..{length}, got {n_hidden.tolist()}")
    hidden = u.argsort(-1).argsort(-1) < n_hidden[:, None]
    return length / n_hidden * surprises(conditional, x_0, hidden).sum(-1)


# --8<-- [end:any_order_cost]


# --8<-- [start:masked_diffusion_loss]
def masked_diffusion_loss(schedule: MaskSchedule) -> Loss:
    """Mean of `masked_cost` per character in nats, a loss for `fromnoise.training.train`.

    One random offset places the times of a batch evenly.

    Args:
        schedule: How the share of hidden tokens grows; changes the noise of the loss, not its mean.
    """

    def loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        x_0 = batch[0]
        offset = torch.rand((), generator=generator, device=x_0.device)
        t = (torch.arange(1, len(x_0) + 1, device=x_0.device) - offset) / len(x_0)
        u = torch.rand(x_0.shape, generator=generator, device=x_0.device)
        cost = masked_cost(cast(Conditional, network), x_0, t, u, schedule)
        return cost.mean() / x_0.shape[1]

    return loss


# --8<-- [end:masked_diffusion_loss]


# --8<-- [start:any_order_loss]
def any_order_loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    """Mean of `any_order_cost` per character in nats, a loss for `fromnoise.training.train`.

    One random offset spreads the numbers of hidden tokens evenly over the batch.
    """
    x_0 = batch[0]
    offset = torch.rand((), generator=generator, device=x_0.device)
    share = (torch.arange(len(x_0), device=x_0.device) + offset) / len(x_0)
    n_hidden = (1 + share * x_0.shape[1]).long().clamp(max=x_0.shape[1])
    u = torch.rand(x_0.shape, generator=generator, device=x_0.device)
    return any_order_cost(cast(Conditional, network), x_0, n_hidden, u).mean() / x_0.shape[1]


# --8<-- [end:any_order_loss]


# --8<-- [start:reveal_step]
@torch.no_grad()
def reveal_step(
    conditional: Conditional,
    x_t: Tokens,
    t: float,
    s: float,
    schedule: MaskSchedule,
    generator: torch.Generator,
) -> Tokens:
    r"""From time t to an earlier s: each hidden token is revealed with probability $1 - m_s/m_t$.

    Args:
        conditional: The model.
        x_t: Tokens, some blank.
        t: Time of `x_t`.
        s: Earlier time; at 0 nothing stays hidden.
        schedule: How the share of hidden tokens grows.
        generator: Source of the draws.

    Raises:
        ValueError: Unless 0 <= s < t <= 1.
    """
    if not 0 <= s < t <= 1:
        raise ValueError(f"need 0 <= s < t <= 1, got s = {s} and t = {t}")
    later, earlier = schedule(torch.tensor([t, s], dtype=torch.float64)).masked.tolist()
    u = torch.rand(x_t.shape, generator=generator, device=x_t.device)
    revealed = (x_t == conditional.blank) & (u >= earlier / later)
    return torch.where(revealed, _draw(conditional(x_t), generator), x_t)


# --8<-- [end:reveal_step]


# --8<-- [start:fill]
@torch.no_grad()
def fill(
    conditional: Conditional,
    tokens: Tokens,
    generator: torch.Generator,
    n_steps: int | None = None,
) -> Tokens:
    """Fill in the blanks in a random order, given what is visible.

    All blank, this writes from nothing; with some tokens given, it fills the gaps and leaves them.

    Args:
        conditional: The model.
        tokens: Texts, blank where something is to be written.
        generator: Source of the order and of the draws.
        n_steps: Number of times the model is asked. Tokens revealed together do not know each
            other. By default one token of each text at a time, which is exact.

    Raises:
        ValueError: If `n_steps` is below 1.
    """
    if n_steps is not None and n_steps < 1:
        raise ValueError(f"n_steps must be at least 1, got {n_steps}")
    hidden = tokens == conditional.blank
    n_hidden = hidden.sum(-1, keepdim=True)
    if n_steps is None:
        n_steps = int(n_hidden.max()) if tokens.numel() else 0
    keys = torch.rand(tokens.shape, generator=generator, device=tokens.device)
    rank = keys.masked_fill(~hidden, math.inf).argsort(-1).argsort(-1)
    turn = rank * n_steps // n_hidden.clamp(min=1)
    for step in range(n_steps):
        drawn = _draw(conditional(tokens), generator)
        tokens = torch.where(hidden & (turn == step), drawn, tokens)
    return tokens


# --8<-- [end:fill]


def _draw(scores: Logits, generator: torch.Generator) -> Tokens:
    p = scores.softmax(-1).flatten(0, 1)
    return torch.multinomial(p, 1, generator=generator).view(scores.shape[:2])


def _check_times(t: Tensor) -> None:
    if not bool(((t >= 0) & (t <= 1)).all()):
        raise ValueError(f"t must lie in [0, 1], got {t.min():.3g}..{t.max():.3g}")


def _require_draws(x_0: Tensor, per_example: Tensor, u: Tensor) -> None:
    if u.shape != x_0.shape or per_example.shape != x_0.shape[:1]:
        raise ValueError(
            f"texts of shape {tuple(x_0.shape)} need one u per token and one draw per text, got "
            f"{tuple(u.shape)} and {tuple(per_example.shape)}"
        )
