r"""The diffusion transformer: a network of the same face as those of `fromnoise.networks`.

Source: Peebles & Xie 2023, arXiv 2212.09748.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from fromnoise.batches import require_counts
from fromnoise.networks import Condition, TimeFeature, require_one_time_each, seeded, zeroed


class DiTBlock(nn.Module):
    """Attention, then a two-layer perceptron; the condition scales, shifts and gates both.

    Args:
        width: Entries of a token.
        n_heads: Heads of the attention.
        dropout: Share of the hidden units that training silences.

    Raises:
        ValueError: If a size is below 1, or `n_heads` does not divide `width`.
    """

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        require_counts(width=width, n_heads=n_heads)
        if width % n_heads:
            raise ValueError(f"n_heads {n_heads} does not divide width {width}")
        self.n_heads = n_heads
        self.norm_attention = nn.LayerNorm(width, elementwise_affine=False)
        self.to_qkv = nn.Linear(width, 3 * width)
        self.to_out = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width, elementwise_affine=False)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * width, width)
        )
        # Zero gates: at the start each block only passes its input on.
        self.modulation = zeroed(nn.Linear(width, 6 * width))

    def forward(
        self, h: Float[Tensor, "batch tokens width"], condition: Float[Tensor, "batch width"]
    ) -> Float[Tensor, "batch tokens width"]:
        """Input plus what the block adds to it."""
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.modulation(condition)[
            :, None, :
        ].chunk(6, dim=-1)
        batch, tokens, width = h.shape
        inner = self.norm_attention(h) * (1 + scale_a) + shift_a
        shape = (batch, tokens, 3, self.n_heads, width // self.n_heads)
        q, k, v = self.to_qkv(inner).reshape(shape).permute(2, 0, 3, 1, 4).unbind(0)
        gathered = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        h = h + gate_a * self.to_out(gathered.reshape(batch, tokens, width))
        return h + gate_m * self.mlp(self.norm_mlp(h) * (1 + scale_m) + shift_m)


class DiT(nn.Module):
    """Diffusion transformer: patches become tokens, attention replaces convolution.

    Args:
        image_size: Side of the image in pixels.
        width: Entries of a token.
        n_classes: Number of classes; None for no condition.
        image_channels: Channels of the image.
        patch_size: Side of a patch in pixels.
        n_blocks: Number of blocks.
        n_heads: Heads of each attention.
        dropout: Share of the hidden units that training silences.
        time_embedding: Whether the network is told the time.
        time_feature: What it is told of the time; None is the time itself.
        seed: Seed of the first weights.

    Raises:
        ValueError: If a size is below 1, or patches do not divide the image, or a call's images
            have another shape.
    """

    def __init__(
        self,
        image_size: int = 8,
        width: int = 96,
        n_classes: int | None = None,
        *,
        image_channels: int = 1,
        patch_size: int = 2,
        n_blocks: int = 4,
        n_heads: int = 4,
        dropout: float = 0.0,
        time_embedding: bool = True,
        time_feature: TimeFeature | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        require_counts(image_size=image_size, image_channels=image_channels, patch_size=patch_size)
        require_counts(width=width, n_heads=n_heads)
        require_counts(0, n_blocks=n_blocks)
        if image_size % patch_size:
            raise ValueError(f"patch_size {patch_size} does not divide image_size {image_size}")
        self.image_size, self.image_channels = image_size, image_channels
        self.patch_size, self.side = patch_size, image_size // patch_size
        n_patch = image_channels * patch_size**2
        with seeded(seed):
            self.condition = Condition(width, n_classes, time_embedding, time_feature)
            self.first = nn.Linear(n_patch, width)
            self.position = nn.Parameter(0.02 * torch.randn(self.side**2, width))
            self.blocks = nn.ModuleList(DiTBlock(width, n_heads, dropout) for _ in range(n_blocks))
            self.norm = nn.LayerNorm(width, elementwise_affine=False)
            self.modulation = zeroed(nn.Linear(width, 2 * width))
            self.last = zeroed(nn.Linear(width, n_patch))

    def forward(
        self,
        x_t: Float[Tensor, "batch channels height width"],
        t: Float[Tensor, " batch"],
        label: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch channels height width"]:
        """One output per pixel of `x_t`.

        Raises:
            ValueError: If images have another size than the network, or there is not one time each.
        """
        wanted = (self.image_channels, self.image_size, self.image_size)
        if x_t.shape[1:] != wanted:
            raise ValueError(f"images must have shape {wanted}, got {tuple(x_t.shape[1:])}")
        require_one_time_each(x_t, t)
        condition = F.silu(self.condition(t, label))
        batch, channels, side, patch = len(x_t), self.image_channels, self.side, self.patch_size
        patches = x_t.reshape(batch, channels, side, patch, side, patch)
        tokens = patches.permute(0, 2, 4, 1, 3, 5).reshape(batch, side**2, channels * patch**2)
        h = self.first(tokens) + self.position
        for block in self.blocks:
            h = block(h, condition)
        shift, scale = self.modulation(condition)[:, None, :].chunk(2, dim=-1)
        out = self.last(self.norm(h) * (1 + scale) + shift)
        out = out.reshape(batch, side, side, channels, patch, patch).permute(0, 3, 1, 4, 2, 5)
        return out.reshape(x_t.shape)
