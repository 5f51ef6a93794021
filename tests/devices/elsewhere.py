"""A second device without the hardware: memory of this machine that refuses to meet the rest.

`with Elsewhere() as there:` gives a device, `there.device`. Tensors sent or made there remember it
through every operation, and an operation that mixes them with others fails, as it would on a GPU.
So a test sees what was left on the processor, though everything runs on it.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

THERE = torch.device("cpu:1")
MOVES = {Tensor.to, Tensor.cpu}
READS = {Tensor.numpy, Tensor.__array__}
INDEXED = ("aten::index", "aten::_unsafe_index", "aten::index_put")
ALIKE = ("aten::cat", "aten::stack")
"""Operations that take no number from another device, as those entry by entry do."""


class Generator(torch.Generator):
    """Says which device it was made for."""

    def __new__(cls, device: Any = "cpu") -> "Generator":
        made = super().__new__(cls, "cpu")
        made.home = torch.device(device)
        return made

    def __init__(self, device: Any = "cpu") -> None:
        super().__init__()

    @property
    def device(self) -> torch.device:
        return self.home


class Elsewhere(TorchDispatchMode):
    """Follows which storages lie there; counts the operations that ran there."""

    device = THERE

    def __init__(self) -> None:
        super().__init__()
        self.n_operations = 0
        self._stored: dict[int, StorageWeakRef] = {}
        self._names = _Names(self)

    def __enter__(self) -> "Elsewhere":
        self._generator, torch.Generator = torch.Generator, Generator
        self._names.__enter__()
        return super().__enter__()

    def __exit__(self, *failure: Any) -> None:
        super().__exit__(*failure)
        self._names.__exit__(*failure)
        torch.Generator = self._generator

    def holds(self, x: Tensor) -> bool:
        key = x.untyped_storage()._cdata
        known = self._stored.get(key)
        if known is not None and known.expired():
            del self._stored[key]
            return False
        return known is not None

    def mark(self, found: Any) -> Any:
        """Say of all tensors in it that they lie there."""
        for x in tensors_in(found):
            storage = x.untyped_storage()
            self._stored.setdefault(storage._cdata, StorageWeakRef(storage))
        return found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.name().partition(".")[0]
        if name.rstrip("_") == "aten::copy":
            return func(*args, **kwargs)  # carries data from any device to any other
        given = list(tensors_in((args, kwargs)))
        if name.rstrip("_") in INDEXED and self.holds(args[0]):
            given = [x for x in given if self.holds(x) or x.is_floating_point()]
        there = [x for x in given if self.holds(x)]
        here = [x for x in given if not self.holds(x) and (x.ndim > 0 or name in ALIKE)]
        if there and here:
            shapes = [tuple(x.shape) for x in given]
            raise RuntimeError(f"{func} meets tensors of two devices, of shapes {shapes}")
        found = func(*args, **kwargs)
        if there:
            self.n_operations += 1
            self.mark(found)
        return found


class _Names(TorchFunctionMode):
    """What Python says of a device: where a tensor is, where one is to go or to be made."""

    def __init__(self, world: Elsewhere) -> None:
        super().__init__()
        self.world = world

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        holds, mark = self.world.holds, self.world.mark
        if func == Tensor.device.__get__:  # a new wrapper each time: equal, not the same
            return THERE if holds(args[0]) else func(*args)
        if func in READS and holds(args[0]):
            raise TypeError("a tensor that lies elsewhere is no array of numpy: call cpu() first")
        if func in MOVES:
            return self._moved(func, args, kwargs)
        if func is Tensor.__deepcopy__:
            return mark(func(*args)) if holds(args[0]) else func(*args)
        wanted = kwargs.get("device")
        is_there = wanted is not None and torch.device(wanted) == THERE
        if (generator := kwargs.get("generator")) is not None:
            owner = is_there or any(holds(x) for x in tensors_in(args))
            if owner != (generator.device == THERE):
                raise RuntimeError(f"{func.__name__} draws with a generator of another device")
        if is_there:
            kwargs["device"] = "cpu"
        found = func(*args, **kwargs)
        return mark(found) if is_there else found

    def _moved(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        x, *rest = args
        home = was = THERE if self.world.holds(x) else torch.device("cpu")
        if func is Tensor.cpu:
            home, rest = torch.device("cpu"), []
        named = [kwargs.pop("device", None), *rest]
        kept = []
        for value in named:
            if isinstance(value, str | torch.device):
                home = torch.device(value)
            elif isinstance(value, Tensor):
                home = THERE if self.world.holds(value) else torch.device("cpu")
                kept.append(value.dtype)
            elif isinstance(value, torch.dtype):
                kept.append(value)  # what is left says how to copy, and does not matter here
        kwargs.pop("non_blocking", None)
        found = x.to(*kept, **kwargs) if kept or kwargs else x
        if home == was:
            return found
        found = x.clone() if found is x else found
        return self._settled(found, home)

    def _settled(self, x: Tensor, home: torch.device) -> Tensor:
        if home == THERE:
            return self.world.mark(x)
        self.world._stored.pop(x.untyped_storage()._cdata, None)
        return x


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors_in(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_in(part)
