r"""A small transformer for text: tokens in, scores of every character out.

The same network has two uses. Causal, it reads from the left and predicts the next character
(`fromnoise.text`); not causal, it sees both sides and predicts hidden ones
(`fromnoise.masked_diffusion`). It knows one token that is no character, the blank: it stands before
the first character, or over a hidden one. Both ways the parameters are the same.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from fromnoise.batches import require_counts
from fromnoise.networks import seeded

Tokens = Int[Tensor, "batch length"]
Hidden = Float[Tensor, "batch length width"]
Logits = Float[Tensor, "batch length characters"]


# --8<-- [start:rotate]
def rotate(
    x: Float[Tensor, "*shape length width"], longest: int
) -> Float[Tensor, "*shape length width"]:
    r"""Turn pairs of entries by angles that grow with the place: $x_i \mapsto R^i x_i$.

    Because $(R^i q)^\top (R^j k) = q^\top R^{j - i} k$, two places meet at an angle that tells how
    far apart they are. The fastest pair turns by a quarter per place, the slowest by a quarter
    over `longest` places.

    Args:
        x: One row per place; the width is even.
        longest: Number of places that the slowest pair needs.

    Raises:
        ValueError: If the width is odd or `longest` is below 1.

    Source:
        Su et al. 2021, <https://arxiv.org/abs/2104.09864>.
    """
    length, width = x.shape[-2:]
    if width % 2 or longest < 1:
        raise ValueError(f"need an even width and longest >= 1, got {width} and {longest}")
    half = width // 2
    speeds = torch.arange(half, dtype=x.dtype, device=x.device) / max(1, half - 1)
    speeds = math.pi / 2 * float(longest) ** -speeds
    angles = torch.arange(length, dtype=x.dtype, device=x.device)[:, None] * speeds
    first, second = x[..., :half], x[..., half:]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([cos * first - sin * second, sin * first + cos * second], -1)


# --8<-- [end:rotate]


# --8<-- [start:Block]
class Block(nn.Module):
    """Attention, then a two-layer perceptron; each reads normalized input and adds to it.

    Args:
        width: Entries of a token.
        n_heads: Heads of the attention.
        causal: Whether a place sees only itself and those before it.
        dropout: Share of the hidden units that training silences.
        longest: Longest text for rotated attention; None is plain attention.

    Raises:
        ValueError: If a size is below 1, or `n_heads` does not divide `width`.
    """

    def __init__(
        self, width: int, n_heads: int, causal: bool, dropout: float, longest: int | None = None
    ) -> None:
        super().__init__()
        require_counts(width=width, n_heads=n_heads)
        if width % n_heads:
            raise ValueError(f"n_heads {n_heads} does not divide width {width}")
        self.n_heads, self.causal, self.longest = n_heads, causal, longest
        self.norm_attention = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width)
        self.to_out = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout)
        )

    def forward(
        self, h: Float[Tensor, "batch length width"]
    ) -> Float[Tensor, "batch length width"]:
        """Input plus what the block adds to it."""
        batch, length, width = h.shape
        shape = (batch, length, 3, self.n_heads, width // self.n_heads)
        q, k, v = (
            self.to_qkv(self.norm_attention(h)).reshape(shape).permute(2, 0, 3, 1, 4).unbind(0)
        )
        if self.longest is not None:
            q, k = rotate(q, self.longest), rotate(k, self.longest)
        # Causal: place i gathers from the places 0, ..., i and from no later one.
        gathered = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        h = h + self.to_out(gathered.transpose(1, 2).reshape(batch, length, width))
        return h + self.mlp(self.norm_mlp(h))


# --8<-- [end:Block]


# --8<-- [start:Transformer]
class Transformer(nn.Module):
    """Tokens in, scores of every character out, one row of scores per place.

    Causal, the scores at a place depend on the tokens up to and at that place only. A table of
    learned vectors says where a place is; rotated attention says how far two places are apart.

    Source:
        Vaswani et al. 2017, <https://arxiv.org/abs/1706.03762>; normalization before each part as
        in Xiong et al. 2020, <https://arxiv.org/abs/2002.04745>.
    """

    def __init__(
        self,
        n_characters: int,
        context: int,
        width: int = 64,
        *,
        n_blocks: int = 2,
        n_heads: int = 4,
        causal: bool = True,
        rotary: bool = True,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        """Draw the weights from `seed` alone; untrained, all characters are equally likely.

        Args:
            n_characters: Size of the vocabulary; the token of this number is the blank.
            context: Longest input in tokens.
            width: Entries of the vector kept per token.
            n_blocks: Number of blocks.
            n_heads: Number of attention heads; must divide `width`.
            causal: Whether a place may see only itself and what lies before it.
            rotary: Whether attention knows distances; without, a place has only its own vector.
            dropout: Share of the blocks' additions that training leaves out.
            seed: Of the weights.

        Raises:
            ValueError: If a size is below 1, `n_heads` does not divide `width`, or with `rotary` a
                head has an odd width.
        """
        super().__init__()
        if min(n_characters, context, width, n_heads) < 1 or width % n_heads:
            raise ValueError(
                "sizes must be at least 1 and n_heads divide width, got n_characters "
                f"{n_characters}, context {context}, width {width}, n_heads {n_heads}"
            )
        require_counts(0, n_blocks=n_blocks)
        if rotary and width // n_heads % 2:
            raise ValueError(
                f"rotary heads need an even width, got width {width} for {n_heads} heads"
            )
        self.n_characters, self.context, self.causal = n_characters, context, causal
        with seeded(seed):
            self.token = nn.Embedding(n_characters + 1, width)
            self.position = nn.Parameter(0.02 * torch.randn(context, width))
            self.blocks = nn.ModuleList(
                Block(width, n_heads, causal, dropout, context if rotary else None)
                for _ in range(n_blocks)
            )
            self.norm = nn.LayerNorm(width)
            self.last = nn.Linear(width, n_characters)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    @property
    def blank(self) -> int:
        """The token that is no character."""
        return self.n_characters

    def forward(self, tokens: Tokens) -> Logits:
        """Unnormalized log probabilities of the characters, at every place.

        Raises:
            ValueError: If the input is longer than the context or a token is out of range.
        """
        if tokens.shape[1] > self.context:
            raise ValueError(f"the context is {self.context} tokens, got {tokens.shape[1]}")
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) <= self.blank:
            found = f"{int(tokens.min())}..{int(tokens.max())}"
            raise ValueError(f"tokens must lie in 0..{self.blank} (blank), got {found}")
        h = self.token(tokens) + self.position[: tokens.shape[1]]
        for block in self.blocks:
            h = block(h)
        return self.last(self.norm(h))


# --8<-- [end:Transformer]
