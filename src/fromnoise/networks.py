r"""Small networks that take a noisy input, its time and perhaps a class: $f_\theta(x_t, t, c)$.

All share one face, `network(x_t, t, label=None)`, and return a tensor shaped like `x_t`. What the
output means (clean data, noise, velocity) is the business of `fromnoise.targets`. The label
`n_classes` is the null condition: "no class given". Weights are drawn from `seed` alone; the global
random state is left as it was. The last layer starts at zero, so an untrained network answers 0.
Switches remove a part without changing the number of parameters or their initial values.

Source:
    Ronneberger, Fischer and Brox 2015, U-Net, <https://arxiv.org/abs/1505.04597>; with the time as
    in Ho et al. 2020, <https://arxiv.org/abs/2006.11239>.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from fromnoise.batches import require_counts

TimeFeature = Callable[[Tensor], Tensor]
"""What the network is told about the time: a number of order 1 for each t, such as t itself."""
Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run the body with the CPU's global random state set from `seed`, then put it back."""
    state = torch.get_rng_state()
    try:
        # Not torch.manual_seed: that would reseed the accelerators as well.
        torch.default_generator.manual_seed(seed)
        yield
    finally:
        torch.set_rng_state(state)


def n_parameters(network: nn.Module) -> int:
    """Number of parameters of `network`, those of an average included, which nothing trains."""
    return sum(p.numel() for p in network.parameters())


def zeroed(layer: Layer) -> Layer:
    """The layer, with weights and bias set to zero: at the start it answers 0."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


# --8<-- [start:sinusoids]
def sinusoids(
    u: Float[Tensor, " batch"], n_features: int, max_frequency: float = 32.0
) -> Float[Tensor, "batch features"]:
    r"""Waves of many lengths: $\cos 2\pi f_i u$ and $\sin 2\pi f_i u$, $f_i$ geometric from 1/8.

    Args:
        u: One number of order 1 per batch element.
        n_features: Even number of features, half of them cosines.
        max_frequency: Highest frequency, in periods per unit of `u`.

    Raises:
        ValueError: `n_features` is odd or smaller than 4.
    """
    if n_features < 4 or n_features % 2:
        raise ValueError(f"n_features must be even and at least 4, got {n_features}")
    # The lowest wave does not repeat within [-2, 2]: no two times look alike.
    low, high = math.log(1 / 8), math.log(max_frequency)
    frequencies = torch.exp(torch.linspace(low, high, n_features // 2, device=u.device))
    angles = 2 * math.pi * u[:, None].to(torch.float32) * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


# --8<-- [end:sinusoids]


class Condition(nn.Module):
    """Turns the time and the class into one vector per batch element.

    Args:
        width: Entries of the vector.
        n_classes: Number of classes; None for no condition.
        time_embedding: Whether the time comes in.
        time_feature: What comes in of the time; None is the time itself.

    Raises:
        ValueError: If a size is below 1.
    """

    def __init__(
        self,
        width: int,
        n_classes: int | None,
        time_embedding: bool,
        time_feature: TimeFeature | None,
    ) -> None:
        super().__init__()
        require_counts(width=width, **({} if n_classes is None else {"n_classes": n_classes}))
        self.n_classes = n_classes
        self.time_embedding = time_embedding
        self.time_feature = time_feature
        self.n_features = 32
        self.time = nn.Sequential(
            nn.Linear(self.n_features, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.label = None if n_classes is None else nn.Embedding(n_classes + 1, width)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return next(self.time.parameters()).dtype

    def forward(
        self, t: Float[Tensor, " batch"], label: Int[Tensor, " batch"] | None
    ) -> Float[Tensor, "batch width"]:
        """The condition vector; without a label the null class stands in.

        Raises:
            ValueError: A label is given to a network without classes, or lies out of range.
        """
        if not self.time_embedding:
            u = torch.zeros_like(t)  # every time looks like every other; the weights stay
        else:
            u = t if self.time_feature is None else self.time_feature(t)
        condition = self.time(sinusoids(u, self.n_features).to(self.dtype))
        if self.n_classes is None or self.label is None:
            if label is not None:
                raise ValueError("this network has no classes: build it with n_classes to label")
            return condition
        if label is None:
            label = torch.full(t.shape, self.n_classes, device=t.device)
        elif label.numel() and not 0 <= int(label.min()) <= int(label.max()) <= self.n_classes:
            found = f"{int(label.min())}..{int(label.max())}"
            raise ValueError(f"labels must lie in 0..{self.n_classes} (null), got {found}")
        return condition + self.label(label)


def require_one_time_each(x_t: Tensor, t: Tensor) -> None:
    """Refuse times that are not one per example.

    Raises:
        ValueError: If there is another number of them.
    """
    if t.shape != x_t.shape[:1]:
        raise ValueError(f"t must hold one time for each of {len(x_t)}, got {tuple(t.shape)}")


class MLP(nn.Module):
    """Residual multilayer perceptron for flat data, such as points in the plane.

    Args:
        n_dims: Entries of a point.
        width: Width of the hidden layers.
        n_blocks: Number of residual blocks.
        n_classes: Number of classes; None for no condition.
        dropout: Share of the hidden units that training silences.
        time_embedding: Whether the network is told the time.
        time_feature: What it is told of the time; None is the time itself.
        seed: Seed of the first weights.

    Raises:
        ValueError: If a size is below 1, or `n_blocks` below 0.
    """

    def __init__(
        self,
        n_dims: int,
        width: int = 64,
        n_blocks: int = 3,
        n_classes: int | None = None,
        *,
        dropout: float = 0.0,
        time_embedding: bool = True,
        time_feature: TimeFeature | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        require_counts(n_dims=n_dims, width=width)
        require_counts(0, n_blocks=n_blocks)
        self.n_dims = n_dims
        with seeded(seed):
            self.condition = Condition(width, n_classes, time_embedding, time_feature)
            self.first = nn.Linear(n_dims, width)
            self.shifts = nn.ModuleList(nn.Linear(width, width) for _ in range(n_blocks))
            self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(n_blocks))
            self.dropout = nn.Dropout(dropout)
            self.last = zeroed(nn.Linear(width, n_dims))

    def forward(
        self,
        x_t: Float[Tensor, "batch n_dims"],
        t: Float[Tensor, " batch"],
        label: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch n_dims"]:
        """One output per entry of `x_t`."""
        require_one_time_each(x_t, t)
        condition = F.silu(self.condition(t, label))
        hidden = self.first(x_t)
        for shift, layer in zip(self.shifts, self.layers, strict=True):
            hidden = hidden + layer(self.dropout(F.silu(hidden + shift(condition))))
        return self.last(F.silu(hidden))


# --8<-- [start:ResBlock]
class ResBlock(nn.Module):
    """Two convolutions around a shortcut; the condition scales and shifts what lies between.

    Args:
        n_in: Channels that come in.
        n_out: Channels that go out.
        n_condition: Entries of the condition.
        dropout: Share of the hidden units that training silences.

    Raises:
        ValueError: If a size is below 1.
    """

    def __init__(self, n_in: int, n_out: int, n_condition: int, dropout: float) -> None:
        super().__init__()
        require_counts(n_in=n_in, n_out=n_out, n_condition=n_condition)
        self.norm_in = nn.GroupNorm(_n_groups(n_in), n_in)
        self.conv_in = nn.Conv2d(n_in, n_out, 3, padding=1)
        self.modulation = nn.Linear(n_condition, 2 * n_out)
        self.norm_out = nn.GroupNorm(_n_groups(n_out), n_out)
        self.dropout = nn.Dropout(dropout)
        # Zero: at the start each block only passes its input on.
        self.conv_out = zeroed(nn.Conv2d(n_out, n_out, 3, padding=1))
        self.shortcut = nn.Identity() if n_in == n_out else nn.Conv2d(n_in, n_out, 1)

    def forward(
        self, h: Float[Tensor, "batch n_in height width"], condition: Float[Tensor, "batch n_cond"]
    ) -> Float[Tensor, "batch n_out height width"]:
        """Input plus what the block adds to it."""
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
        inner = self.norm_out(self.conv_in(F.silu(self.norm_in(h))))
        inner = F.silu(inner * (1 + scale) + shift)
        return self.shortcut(h) + self.conv_out(self.dropout(inner))


# --8<-- [end:ResBlock]


def _n_groups(channels: int) -> int:
    return max(g for g in (8, 4, 2, 1) if channels % g == 0)


class Attention(nn.Module):
    """Every position of a small image looks at every other.

    Args:
        channels: Entries of a position.
        n_heads: Number of heads.

    Raises:
        ValueError: If a size is below 1, or `n_heads` does not divide `channels`.
    """

    def __init__(self, channels: int, n_heads: int) -> None:
        super().__init__()
        require_counts(channels=channels, n_heads=n_heads)
        if channels % n_heads:
            raise ValueError(f"n_heads {n_heads} does not divide channels {channels}")
        self.n_heads = n_heads
        self.norm = nn.GroupNorm(_n_groups(channels), channels)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.to_out = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(
        self, h: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Input plus what it gathered."""
        batch, channels, height, width = h.shape
        shape = (batch, 3, self.n_heads, channels // self.n_heads, height * width)
        q, k, v = self.to_qkv(self.norm(h)).reshape(shape).transpose(-1, -2).unbind(1)
        gathered = F.scaled_dot_product_attention(q, k, v)
        return h + self.to_out(gathered.transpose(-1, -2).reshape(batch, channels, height, width))


# --8<-- [start:UNet]
class UNet(nn.Module):
    """Down to coarse features, back up to pixels, with skip connections across each level.

    Args:
        image_size: Side of the image in pixels.
        channels: Channels of the finest level.
        n_classes: Number of classes; None for no condition.
        image_channels: Channels of the image.
        multipliers: Channels of each level as multiples of `channels`, finest first.
        n_blocks: Blocks of each level on the way down.
        n_heads: Heads of the attention.
        dropout: Share of the hidden units that training silences.
        skip_connections: Whether fine features cross over.
        time_embedding: Whether the network is told the time.
        time_feature: What it is told of the time; None is the time itself.
        seed: Seed of the first weights.

    Raises:
        ValueError: If a size is below 1, or the image cannot be halved once per level.
    """

    def __init__(
        self,
        image_size: int = 8,
        channels: int = 32,
        n_classes: int | None = None,
        *,
        image_channels: int = 1,
        multipliers: tuple[int, ...] = (1, 2),
        n_blocks: int = 1,
        n_heads: int = 4,
        dropout: float = 0.0,
        skip_connections: bool = True,
        time_embedding: bool = True,
        time_feature: TimeFeature | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        require_counts(image_size=image_size, channels=channels, image_channels=image_channels)
        require_counts(n_blocks=n_blocks, n_heads=n_heads)
        if image_size % 2 ** (len(multipliers) - 1):
            raise ValueError(f"{len(multipliers)} levels cannot halve image_size {image_size}")
        self.image_size, self.image_channels = image_size, image_channels
        self.skip_connections = skip_connections
        widths = [channels * m for m in multipliers]
        n_condition = 4 * channels

        def block(n_in: int, n_out: int) -> ResBlock:
            return ResBlock(n_in, n_out, n_condition, dropout)

        with seeded(seed):
            self.condition = Condition(n_condition, n_classes, time_embedding, time_feature)
            self.first = nn.Conv2d(image_channels, channels, 3, padding=1)
            self.down, self.up = nn.ModuleList(), nn.ModuleList()
            self.downsample, self.upsample = nn.ModuleList(), nn.ModuleList()
            before = channels
            for level, width in enumerate(widths):
                blocks = [block(before, width)] + [block(width, width) for _ in range(n_blocks - 1)]
                self.down.append(nn.ModuleList(blocks))
                self.up.append(nn.ModuleList(block(2 * width, width) for _ in range(n_blocks)))
                if level < len(widths) - 1:
                    self.downsample.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                    self.upsample.append(nn.Conv2d(widths[level + 1], width, 3, padding=1))
                before = width
            self.middle_in = block(before, before)
            self.attention = Attention(before, n_heads)
            self.middle_out = block(before, before)
            self.norm = nn.GroupNorm(_n_groups(channels), channels)
            self.last = zeroed(nn.Conv2d(widths[0], image_channels, 3, padding=1))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @staticmethod
    def _blocks(levels: nn.ModuleList, level: int) -> list[nn.Module]:
        blocks = levels[level]
        assert isinstance(blocks, nn.ModuleList)
        return list(blocks)

    def forward(
        self,
        x_t: Float[Tensor, "batch channels height width"],
        t: Float[Tensor, " batch"],
        label: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch channels height width"]:
        """One output per pixel of `x_t`."""
        require_one_time_each(x_t, t)
        condition = F.silu(self.condition(t, label))
        h = self.first(x_t.contiguous(memory_format=torch.channels_last))
        skips = []
        for level in range(len(self.down)):
            for block in self._blocks(self.down, level):
                h = block(h, condition)
                skips.append(h)
            if level < len(self.downsample):
                h = self.downsample[level](h)

        h = self.middle_out(self.attention(self.middle_in(h, condition)), condition)

        for level in reversed(range(len(self.up))):
            for block in self._blocks(self.up, level):
                skip = skips.pop()
                if not self.skip_connections:
                    skip = torch.zeros_like(skip)
                h = block(torch.cat([h, skip], dim=1), condition)
            if level > 0:
                h = self.upsample[level - 1](F.interpolate(h, scale_factor=2.0, mode="nearest"))
        return self.last(F.silu(self.norm(h))).contiguous()


# --8<-- [end:UNet]
