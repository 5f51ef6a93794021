r"""Exact answers for masked diffusion on short texts: a full table, and bounds by enumeration.

Hiding tokens at random and guessing them is writing in a random order: `diffusion_bound`, an
integral over times and hidden sets, and `any_order_bound`, a mean over orders, are the same number
for every model and every schedule. Both are bounds on $-\log p(x_0)$ in nats, summed over the text.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from fromnoise.batches import require_counts
from fromnoise.masked_diffusion import Conditional, MaskSchedule, PerExample, surprises
from fromnoise.transformer import Logits, Tokens


# --8<-- [start:Table]
class Table:
    """The exact model of short texts: a probability for each, and all its conditionals."""

    def __init__(self, joint: Float[Tensor, "..."]) -> None:
        """Keep the table.

        Args:
            joint: One axis per place, each as long as there are characters; positive, sums to 1.

        Raises:
            ValueError: If the axes differ, an entry is not positive or the sum is not 1.
        """
        if joint.ndim < 1 or len(set(joint.shape)) > 1:
            raise ValueError(f"all axes must have the same length, got {tuple(joint.shape)}")
        if not bool((joint > 0).all()) or abs(float(joint.sum()) - 1) > 1e-5:
            found = f"{joint.min():.3g} and {joint.sum():.6g}"
            raise ValueError(f"a joint must be positive and sum to 1, got {found}")
        self.joint = joint
        places = [range(joint.shape[0])] * joint.ndim
        self.texts = torch.tensor(list(itertools.product(*places)))

    @property
    def blank(self) -> int:
        """The token that hides."""
        return self.joint.shape[0]

    def log_prob(self, tokens: Tokens) -> PerExample:
        """Log probability of complete texts."""
        return self.joint[tuple(tokens.T)].log()

    def __call__(self, tokens: Tokens) -> Logits:
        r"""$\log p(x_i \mid x_V)$, by summing the table over all texts that agree on $V$."""
        agrees = ((tokens[:, None] == self.texts) | (tokens[:, None] == self.blank)).all(-1)
        shares = agrees.to(self.joint) * self.joint.flatten()
        is_character = one_hot(self.texts, self.blank).to(self.joint)
        sums = torch.einsum("bt,tlc->blc", shares, is_character)
        return (sums / shares.sum(-1)[:, None, None]).log()


# --8<-- [end:Table]


def _subsets(length: int) -> Bool[Tensor, "subsets length"]:
    """Every way to hide some of the tokens; row r hides the places of the ones of r in binary."""
    if not 1 <= length <= 12:
        raise ValueError(f"enumeration takes texts of 1 to 12 tokens, got {length}")
    return (torch.arange(1 << length)[:, None] >> torch.arange(length)) % 2 == 1


# --8<-- [start:diffusion_bound]
def diffusion_bound(
    conditional: Conditional,
    x_0: Int[Tensor, " length"],
    schedule: MaskSchedule,
    n_nodes: int = 64,
) -> Float[Tensor, ""]:
    r"""The bound in continuous time, exactly: at least $-\log p(x_0)$.

    $-\int_0^1 \frac{\dot m_t}{m_t} \sum_H m_t^{|H|} (1 - m_t)^{L - |H|} \sum_{i \in H}
    \log p(x_i \mid x_V)\, dt$, over all sets $H$ of hidden tokens, by Gauss-Legendre quadrature.

    Args:
        conditional: The model; asked about all $2^L$ sets at once.
        x_0: One short text of L tokens.
        schedule: How the share of hidden tokens grows.
        n_nodes: Nodes of the quadrature; exact for a polynomial schedule of low degree.

    Raises:
        ValueError: If the text has no tokens or more than 12, or `n_nodes` is below 1.

    Source:
        Sahoo et al. 2024, <https://arxiv.org/abs/2406.07524>.
    """
    hidden = _subsets(len(x_0))
    cost = surprises(conditional, x_0.expand(hidden.shape), hidden).sum(-1).double()
    require_counts(n_nodes=n_nodes)
    nodes, shares = np.polynomial.legendre.leggauss(n_nodes)
    rates = schedule(torch.from_numpy((nodes + 1) / 2))
    weight = torch.from_numpy(shares / 2) * rates.weight
    return weight @ _set_probabilities(rates.masked, hidden) @ cost


# --8<-- [end:diffusion_bound]


# --8<-- [start:chain_bound]
def chain_bound(
    conditional: Conditional,
    x_0: Int[Tensor, " length"],
    schedule: MaskSchedule,
    times: Sequence[float],
) -> Float[Tensor, ""]:
    r"""The bound of the chain that `reveal_step` walks, exactly.

    $-\sum_k \frac{m_t - m_s}{m_t} E_H \sum_{i \in H} \log p(x_i \mid x_V)$, where step k goes from
    t to s and H is what is hidden at t.

    Tokens revealed in one step are drawn without knowing each other. The fewer steps, the more
    that costs.

    Args:
        conditional: The model.
        x_0: One short text.
        schedule: How the share of hidden tokens grows.
        times: Falls from 1 to 0.

    Raises:
        ValueError: If the times do not fall from 1 to 0, or the text has no tokens or more than 12.

    Source:
        Austin et al. 2021, <https://arxiv.org/abs/2107.03006>.
    """
    t = torch.tensor(times, dtype=torch.float64)
    if len(t) < 2 or t[0] != 1 or t[-1] != 0 or not bool((t.diff() < 0).all()):
        raise ValueError(f"times must fall from 1 to 0, got {list(times)}")
    hidden = _subsets(len(x_0))
    cost = surprises(conditional, x_0.expand(hidden.shape), hidden).sum(-1).double()
    masked = schedule(t).masked
    revealed = -masked.diff() / masked[:-1]
    return revealed @ _set_probabilities(masked[:-1], hidden) @ cost


# --8<-- [end:chain_bound]


def _set_probabilities(masked: Tensor, hidden: Tensor) -> Float[Tensor, "times subsets"]:
    n_hidden, length = hidden.sum(-1), hidden.shape[1]
    return masked[:, None] ** n_hidden * (1 - masked[:, None]) ** (length - n_hidden)


# --8<-- [start:any_order_bound]
def any_order_bound(conditional: Conditional, x_0: Int[Tensor, " length"]) -> Float[Tensor, ""]:
    r"""Mean cost of writing the text token by token, over all $L!$ orders, exactly.

    $-\frac{1}{L!} \sum_\pi \sum_{i} \log p(x_{\pi_i} \mid x_{\pi_1}, \dots, x_{\pi_{i-1}})$.
    It equals `diffusion_bound` whatever the model and the schedule.

    Args:
        conditional: The model.
        x_0: One short text of L tokens.

    Raises:
        ValueError: If the text has no tokens or more than 7.

    Source:
        Ou et al. 2024, <https://arxiv.org/abs/2406.03736>.
    """
    length = len(x_0)
    if not 1 <= length <= 7:
        raise ValueError(f"enumeration of orders takes texts of 1 to 7 tokens, got {length}")
    hidden = _subsets(length)
    cost = surprises(conditional, x_0.expand(hidden.shape), hidden).double()
    total = cost.new_zeros(())
    for order in itertools.permutations(range(length)):
        row = (1 << length) - 1
        for place in order:
            total = total + cost[row, place]
            row -= 1 << place
    return total / math.factorial(length)


# --8<-- [end:any_order_bound]
