r"""A decoder that also reads the pixels it has already explained, and so may ignore the code.

Given the code alone, the likelihoods of `fromnoise.decoders` treat pixels as independent: what ties
pixels together must pass through the code. Here it need not. Images are flat, `(batch, dims)`.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fromnoise.batches import require_counts
from fromnoise.decoders import Parameters, Pixels


class AutoregressiveDecoder(nn.Module):
    r"""A decoder that also sees earlier pixels: $p(x \mid z)=\prod_i p(x_i \mid x_{<i}, z)$.

    Masks let the output of pixel i depend on the pixels before it in reading order only. It is
    strong enough to describe images without the code.

    Source:
        Germain et al. 2015, MADE, <https://arxiv.org/abs/1502.03509>.
    """

    mask_in: Tensor
    mask_out: Tensor

    def __init__(
        self, n_latents: int, n_dims: int, n_parameters: int, width: int, dropout: float = 0.0
    ) -> None:
        """Two masked layers; the code enters both unmasked.

        Args:
            n_latents: Entries of the code.
            n_dims: Pixels.
            n_parameters: Numbers to write per pixel.
            width: Hidden units.
            dropout: Share of the earlier pixels hidden in training, which weakens the decoder.

        Raises:
            ValueError: If a size is below 1.
        """
        super().__init__()
        require_counts(n_latents=n_latents, n_dims=n_dims, n_parameters=n_parameters, width=width)
        self.n_dims, self.n_parameters = n_dims, n_parameters
        self.hide = nn.Dropout(dropout)
        self.from_z = nn.Linear(n_latents, width)
        self.from_x = nn.Linear(n_dims, width, bias=False)
        self.out_z = nn.Linear(n_latents, n_dims * n_parameters)
        self.out = nn.Linear(width, n_dims * n_parameters, bias=False)
        pixel = torch.arange(n_dims)
        # Hidden unit j sees the pixels 0..last[j]; pixel i sees the hidden units with last < i.
        last = torch.arange(width) % max(1, n_dims - 1)
        self.register_buffer("mask_in", (pixel[None] <= last[:, None]).float(), persistent=False)
        visible = (last[None] < pixel[:, None]).float().repeat_interleave(n_parameters, 0)
        self.register_buffer("mask_out", visible, persistent=False)

    def forward(self, z: Float[Tensor, "batch latents"], x: Pixels) -> Parameters:
        """Parameters of every pixel, given the code and the pixels before it.

        Raises:
            ValueError: If there is not one code per image.
        """
        if len(z) != len(x):
            raise ValueError(f"need one code per image, got {len(z)} codes and {len(x)} images")
        hidden = F.silu(self.from_z(z) + F.linear(self.hide(x), self.from_x.weight * self.mask_in))
        outputs = self.out_z(z) + F.linear(hidden, self.out.weight * self.mask_out)
        return outputs.view(len(x), self.n_dims, self.n_parameters)
