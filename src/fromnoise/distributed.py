r"""Several processes train one network as one process would, under torchrun.

Every process draws the same batch, times and noise from the same seed. It runs the network on its
own rows $B_r$ only, and gets the outputs for the others without their gradient, so that any loss
sees the whole batch. The gradient of the whole is the sum of what the processes find,

$\nabla_\theta L = \sum_r \sum_{i \in B_r} (\nabla_\theta f_i)^{\!\top} \nabla_{f_i} L$,

and the run is that of one process up to round-off. Two things differ. Dropout draws a mask for the
rows of each process, and the processes draw the same ones. Statistics over a batch inside the
network, such as those of batch normalization, are over the rows of one process.

Source:
    The book's own.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fromnoise.checkpoints import TrainingState


def n_processes() -> int:
    """How many processes train together; 1 where no process group was started."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_lead() -> bool:
    """Whether this process writes for all: the first, or the only one."""
    return n_processes() == 1 or dist.get_rank() == 0


def wait_for_all() -> None:
    """Return when every process has come here."""
    if n_processes() > 1:
        dist.barrier()


def rows_of(rank: int, n_ranks: int, n_rows: int) -> slice:
    """Rows of a batch that one process works on; parts differ by one row at most.

    Args:
        rank: Number of the process, from 0.
        n_ranks: Number of processes.
        n_rows: Rows of the batch.

    Raises:
        ValueError: Unless 0 <= rank < n_ranks <= n_rows.
    """
    if not 0 <= rank < n_ranks <= n_rows:
        raise ValueError(
            f"need 0 <= rank < processes <= rows of the batch, got {rank}, {n_ranks}, {n_rows}"
        )
    return slice(rank * n_rows // n_ranks, (rank + 1) * n_rows // n_ranks)


class SharedNetwork(nn.Module):
    """A network whose batch is shared out among all processes of the default group.

    Every process must call it in the same order, with the same arguments.
    """

    def __init__(self, network: nn.Module) -> None:
        """Copy the first process's weights to all.

        Args:
            network: The network; its parameters receive the gradient of the whole batch.
        """
        super().__init__()
        self.parallel = DistributedDataParallel(network)
        # Buffers are equal from here on; writing them anew in a loss's second call would spoil
        # what autograd kept of the first. The constructor's argument has changed its name.
        self.parallel.broadcast_buffers = False

    def forward(self, x: Tensor, *others: Tensor | None) -> Tensor:
        """Outputs for all rows; only those of this process carry a gradient.

        Args:
            x: Input, rows first.
            others: More inputs with the same rows, such as times and labels, or None.

        Raises:
            ValueError: An input has other rows, or fewer rows than processes, or the loss asks for
                derivatives with respect to it, which the other processes would not know of.
        """
        inputs = (x, *others)
        for given in inputs:
            if given is None:
                continue
            if given.shape[:1] != x.shape[:1]:
                raise ValueError(f"inputs disagree in rows: {len(x)} and {tuple(given.shape)}")
            if (
                given.requires_grad
                or torch.autograd.forward_ad.unpack_dual(given).tangent is not None
            ):
                raise ValueError("a shared network gives no derivatives with respect to its inputs")
        rows = rows_of(dist.get_rank(), dist.get_world_size(), len(x))
        own = self.parallel(*(None if given is None else given[rows] for given in inputs))
        whole = own.new_zeros((len(x), *own.shape[1:]))
        whole[rows] = own.detach()
        dist.all_reduce(whole)  # a sum in which all others have zero: nothing is rounded
        if own.requires_grad:
            # DistributedDataParallel takes the mean over processes where the sum is wanted.
            own.register_hook(lambda gradient: gradient * dist.get_world_size())
        return torch.cat([whole[: rows.start], own, whole[rows.stop :]])


def require_agreement(state: TrainingState) -> None:
    """Refuse to begin unless all processes hold the same run at the same step.

    Args:
        state: This process's run.

    Raises:
        ValueError: Settings (with the seed), data, first weights or step differ; names which.
    """
    mine = {**state.identity, "step": state.step}
    found: list[dict[str, object]] = [{}] * dist.get_world_size()
    dist.all_gather_object(found, mine)
    differ = [name for name in mine if any(other[name] != found[0][name] for other in found)]
    if differ:
        raise ValueError(f"the processes disagree in: {', '.join(differ)}")
