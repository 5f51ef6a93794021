"""The digit model with a switch at each part, and the judge of digits, as the pages run them."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from experiments._flagship import load_network
from experiments.lesions._common import PARTS, SKIPS, activity, first, lesion, place
from experiments.lesions.blocks import SIZES
from fromnoise.datasets import digits
from fromnoise.evaluation import Classifier
from fromnoise.lesions import lesioned
from fromnoise.networks import UNet
from fromnoise.provenance import load_tensors

NAMES = (*PARTS, *SKIPS)
CONFIG = SIZES["full"]


class Board(nn.Module):
    """A network whose parts are scaled, and replaced by a share of their mean at the time.

    The means are recorded at the times of the chapter's map of parts; between two of them a part's
    mean is taken from the straight line, and beyond the ends it stays.

    Args:
        network: The digit model.
    """

    def __init__(self, network: UNet) -> None:
        super().__init__()
        data = digits()
        recorded = first(data.validation, CONFIG.n_recorded)
        self.network = network
        self.times = nn.Buffer(torch.tensor(CONFIG.times))
        self.means = nn.ParameterList()
        for name in NAMES:
            module, at_input = place(name)
            means = [
                activity(network, module, recorded, t, 2, at_input=at_input).mean(0)
                for t in CONFIG.times
            ]
            self.means.append(nn.Parameter(torch.stack(means), requires_grad=False))
        images = first(data.test, CONFIG.n_images)
        self.pixels, self.labels = nn.Buffer(images.images.flatten(1)), nn.Buffer(images.labels)

    def forward(
        self, x_t: Tensor, t: Tensor, label: Tensor, keep: Tensor, put: Tensor, row: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Velocities with the lesions; and some of the test images, with their classes.

        Args:
            x_t: Noisy images.
            t: Their times.
            label: Their classes.
            keep: For each part the share of its activity that stays.
            put: For each part the share of its mean that is added.
            row: Which of the test images.
        """
        shares = self._shares(t)

        def replacement(i: int) -> Callable[[Tensor], Tensor]:
            def replace(a: Tensor) -> Tensor:
                mean = (shares @ self.means[i].flatten(1)).unflatten(1, self.means[i].shape[1:])
                kept, added = (s[:, i, None, None, None] for s in (keep, put))
                return kept * a + added * mean

            return replace

        cuts = (lesion(self.network, name, replacement(i)) for i, name in enumerate(NAMES))
        with lesioned(self.network, *cuts):
            velocity = self.network(x_t, t, label)
        return velocity, self.pixels.index_select(0, row), self.labels.index_select(0, row)

    def _shares(self, t: Tensor) -> Tensor:
        """How much each recorded time counts at the times t: hats over the times."""
        within = t.clamp(CONFIG.times[0], CONFIG.times[-1])[:, None]
        left = (self.times[1:] - within) / self.times.diff()  # 1 at a segment's begin, 0 at its end
        inside = ((within >= self.times[:-1]) & (within < self.times[1:])).to(t)
        last = (within >= self.times[-1]).to(t)
        shares = torch.cat([inside * left, last], 1)
        return shares + torch.cat([torch.zeros_like(last), inside * (1 - left)], 1)


def load_board(path: str | Path) -> Board:
    """The trained digit model with its switches, in evaluation mode."""
    return Board(load_network(path)).eval().requires_grad_(False)


def load_judge(path: str | Path) -> Classifier:
    """The classifier that never saw the network, in evaluation mode."""
    judge = Classifier(8, 10)
    judge.load_state_dict(load_tensors(path)[0])
    return judge.eval().requires_grad_(False)
