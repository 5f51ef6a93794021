"""The maps that latent_map and holes publish, as the pages run them."""

from pathlib import Path

from torch import Tensor, nn

from fromnoise.datasets import from_levels
from fromnoise.decoders import DiscretizedLogistic
from fromnoise.provenance import load_tensors
from fromnoise.vae import VAE


class DigitMap(nn.Module):
    """A decoder of two latents, and the test digits that lie on its plane.

    Args:
        tensors: What `save_map` has written.
    """

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        model = VAE(DiscretizedLogistic(), n_latents=2)
        self.decoder, self.likelihood = model.decoder, model.likelihood
        decoder = {k.removeprefix("decoder."): v for k, v in tensors.items() if "decoder." in k}
        self.decoder.load_state_dict(decoder)
        self.codes = nn.Buffer(tensors["codes"])
        self.labels = nn.Buffer(tensors["labels"].long())
        self.pixels = nn.Buffer(from_levels(tensors["levels"].long()))

    def forward(self, z: Tensor, row: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean images at some codes; posterior means, classes and pixels of some test digits."""
        parameters = self.decoder(z).unflatten(1, (-1, self.likelihood.n_parameters))
        digits = (found.index_select(0, row) for found in (self.codes, self.labels, self.pixels))
        return self.likelihood.mean(parameters), *digits


def load_map(path: str | Path) -> DigitMap:
    """The trained decoder with its digits, in evaluation mode."""
    tensors, _ = load_tensors(path)
    return DigitMap(tensors).eval().requires_grad_(False)
