r"""Lesions: silence part of a trained network for a while, and see what is lost.

A lesion replaces the activity of some units of one module while the network runs. The weights are
never touched, and the network is whole again when the `with` block ends, however it ends. What the
activity is replaced by is a choice, and the choice matters: zero may be an activity that the rest
of the network has never seen, the mean keeps what all examples share, and resampling keeps the
distribution of the activity and breaks only its tie to the example.

A part whose loss does no harm may still be used, if another part stands in for it.

Source:
    Morcos et al. 2018, <https://arxiv.org/abs/1803.06959>, for units that are silenced.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

Activity = Float[Tensor, "batch *dims"]
Replacement = Callable[[Tensor], Tensor]
"""Maps an activity to one of the same shape. `lambda a: a + 1` steers instead of silencing."""
Loss = Callable[[Tensor], Tensor]
"""Loss of the network at one time t: one number per example, with the same noise at each call."""


def zero(activity: Activity) -> Activity:
    """Silence."""
    return torch.zeros_like(activity)


# --8<-- [start:to_mean]
def to_mean(recording: Activity) -> Replacement:
    r"""The mean over recorded examples, place by place: $\bar a = \tfrac1n \sum_i a_i$.

    The mean activity changes with the noise level, so record at the times that are to be lesioned.

    Args:
        recording: Activities of the module, examples first.

    Returns:
        A replacement; it raises ValueError for an activity of another shape.

    Raises:
        ValueError: If nothing was recorded.
    """
    if len(recording) == 0:
        raise ValueError("the mean needs at least one recorded example")
    mean = recording.detach().mean(0)

    def replace(activity: Tensor) -> Tensor:
        if activity.shape[1:] != mean.shape:
            raise ValueError(
                f"recorded {tuple(mean.shape)} per example, met {tuple(activity.shape[1:])}"
            )
        return mean.to(activity).expand_as(activity)

    return replace


# --8<-- [end:to_mean]


# --8<-- [start:resample]
def resample(generator: torch.Generator) -> Replacement:
    """Give each example the activity of another one from the same batch, at random.

    No example keeps its own, and each is given away once, so the batch as a whole keeps its
    distribution.

    Args:
        generator: Source of the exchange.

    Returns:
        A replacement; it raises ValueError for a batch of one.
    """

    def replace(activity: Tensor) -> Tensor:
        if len(activity) < 2:
            raise ValueError(f"resampling needs at least two examples, got {len(activity)}")
        order = torch.randperm(len(activity), generator=generator, device=generator.device)
        donor = torch.empty_like(order)
        donor[order] = order.roll(1)
        return activity[donor.to(activity.device)]

    return replace


# --8<-- [end:resample]


@dataclass(frozen=True)
class Lesion:
    """Where to cut, and what to put there.

    Attributes:
        module: Dotted name of a module, as `network.named_modules()` gives it.
        replacement: What the activity becomes, such as `zero`.
        units: Indices along `axis` that are hit; all if not given.
        axis: Axis of the units: 1 for channels and flat features, -1 for the features of tokens.
        at_input: Cut the first input of the module instead of its output. A skip connection that is
            joined to other channels is severed at the input of the block that reads it.
    """

    module: str
    replacement: Replacement
    units: tuple[int, ...] | None = None
    axis: int = 1
    at_input: bool = False

    def cut(self, activity: Activity) -> Activity:
        """The activity with the lesion.

        Raises:
            ValueError: If a unit does not exist or the replacement has another shape.
        """
        replaced = self.replacement(activity)
        if replaced.shape != activity.shape:
            raise ValueError(
                f"the replacement is {tuple(replaced.shape)}, the activity {tuple(activity.shape)}"
            )
        if self.units is None:
            return replaced
        n_units = activity.shape[self.axis]
        if not all(0 <= unit < n_units for unit in self.units):
            raise ValueError(f"units {self.units} of {self.module!r}, which has 0..{n_units - 1}")
        hit = torch.zeros(n_units, dtype=torch.bool, device=activity.device)
        hit[list(self.units)] = True
        shape = [1] * activity.ndim
        shape[self.axis] = n_units
        return torch.where(hit.reshape(shape), replaced, activity)


# --8<-- [start:lesioned]
@contextmanager
def lesioned(network: nn.Module, *lesions: Lesion) -> Iterator[nn.Module]:
    """Run the body with a lesioned network; it is whole again afterwards.

    Args:
        network: Any network; its weights and mode are left alone.
        lesions: What to cut. Two lesions of one module act in their order.

    Yields:
        The same network.

    Raises:
        ValueError: If there is no module of a lesion's name; during the body, if an activity is not
            a tensor or a lesion does not fit it.
    """
    with ExitStack() as stack:
        for lesion in lesions:
            stack.callback(_attach(network, lesion.module, lesion.at_input, lesion.cut))
        yield network


# --8<-- [end:lesioned]


# --8<-- [start:recorded]
@contextmanager
def recorded(network: nn.Module, module: str, at_input: bool = False) -> Iterator[list[Tensor]]:
    """Run the body and keep the activity of one module, an entry for each time it ran.

    Args:
        network: Any network.
        module: Dotted name of a module.
        at_input: Record the first input instead of the output.

    Yields:
        A list that grows while the body runs; `torch.cat` joins the batches.

    Raises:
        ValueError: If there is no such module, or its activity is not a tensor.
    """
    activities: list[Tensor] = []

    def keep(activity: Tensor) -> Tensor:
        # A copy: a later layer may write over the activity in place.
        activities.append(activity.detach().clone())
        return activity

    remove = _attach(network, module, at_input, keep)
    try:
        yield activities
    finally:
        remove()


# --8<-- [end:recorded]


# --8<-- [start:effect_by_time]
@torch.no_grad()
def effect_by_time(
    network: nn.Module,
    lesions: Sequence[Lesion],
    loss: Loss,
    times: Float[Tensor, " n_times"],
) -> Float[Tensor, "n_times batch"]:
    r"""What lesions cost at each noise level: loss with them minus loss without, per example.

    Args:
        network: The network that `loss` calls, in evaluation mode.
        lesions: Cut together.
        loss: Loss per example at one time. It must draw the same noise each time it is called, or
            the difference is one of noise.
        times: Times to measure at.

    Returns:
        Differences in the units of the loss, positive where the lesion does harm.

    Raises:
        ValueError: If the network is in training mode, where dropout would hide the effect, the
            loss is not repeatable, or there are no times.
    """
    if network.training:
        raise ValueError("the network is in training mode: call eval() first")
    if len(times) == 0:
        raise ValueError("there are no times to measure at")
    rows = []
    for t in times:
        whole = loss(t)
        if not torch.equal(whole, loss(t)):
            raise ValueError("the loss is not repeatable: give it a fixed seed for its noise")
        with lesioned(network, *lesions):
            rows.append(loss(t) - whole)
    return torch.stack(rows)


# --8<-- [end:effect_by_time]


def _attach(
    network: nn.Module, name: str, at_input: bool, change: Replacement
) -> Callable[[], None]:
    """Hook a change into a module; the function that is given back takes it out."""
    modules = dict(network.named_modules())
    if name not in modules:
        raise ValueError(f"no module {name!r} in {type(network).__name__}")

    def at(activity: Any) -> Tensor:
        if not isinstance(activity, Tensor):
            raise ValueError(f"the activity of {name!r} is a {type(activity).__name__}")
        return change(activity)

    if at_input:
        return (
            modules[name]
            .register_forward_pre_hook(lambda _, inputs: (at(inputs[0]), *inputs[1:]))
            .remove
        )
    return modules[name].register_forward_hook(lambda _, inputs, output: at(output)).remove
