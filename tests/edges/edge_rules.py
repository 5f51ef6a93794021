"""Bad and odd inputs, made from good ones by rules that know nothing of the function.

A rule gives the faults it finds, as sentences. A refusal is a ValueError or TypeError. Where
PyTorch itself refuses two shapes, dtypes or devices, its RuntimeError says which, and counts too:
what these rules are after is the *answer* to a question that was never asked.
"""

import copy
import dataclasses
import inspect
import math
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edge_table import BATCH, DIM, arguments, normal, public, run

Faults = Iterator[str]
REFUSALS = (ValueError, TypeError)
# PyTorch and SciPy name shapes, dtypes and devices themselves; that is refusal enough.
LOUD = (ValueError, TypeError, RuntimeError, IndexError, LookupError, NotImplementedError)


def is_scales(value: Any) -> bool:
    return type(value).__name__ == "Scales"


def change(value: Any, how: Callable[[Tensor], Tensor]) -> Any:
    return type(value)(*(how(part) for part in value)) if is_scales(value) else how(value)


def arrays(given: dict[str, Any]) -> list[str]:
    """The arguments that hold floating numbers, one per entry of something."""
    return [
        key
        for key, value in given.items()
        if is_scales(value) or (isinstance(value, Tensor) and value.is_floating_point())
    ]


def leaves(result: Any) -> list[Tensor]:
    """All tensors and floats of a result, whatever it is packed in."""
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, bool | int | str | bytes | None):
        return []
    if isinstance(result, float):
        return [torch.tensor(result, dtype=torch.float64)]
    if isinstance(result, nn.Module):
        return [part.detach() for part in result.state_dict().values()]
    if isinstance(result, dict):
        return [leaf for value in result.values() for leaf in leaves(value)]
    if type(result).__name__ == "Dynamics":
        return []  # asked at a single time, not at one per example
    if isinstance(result, list | tuple):
        return [leaf for value in result for leaf in leaves(value)]
    if inspect.isfunction(result):
        return leaves(asked(result))
    if type(result).__module__.startswith("fromnoise"):
        return leaves(list(vars(result).values()))
    return []


def asked(function: Callable[..., Any]) -> Any:
    """A denoiser that a function returns is asked about some data."""
    names = list(inspect.signature(function).parameters)
    if names == ["x_t", "t"]:
        return function(normal(BATCH, DIM, seed=2), torch.tensor([0.3, 0.5, 0.7]))
    return None


def answer(name: str, given: dict[str, Any]) -> list[Tensor]:
    torch.manual_seed(0)
    return leaves(run(name, given))


def same(a: list[Tensor], b: list[Tensor], rtol: float = 1e-4) -> bool:
    return len(a) == len(b) and all(
        x.shape == y.shape
        and torch.allclose(x.double(), y.double(), rtol=rtol, atol=1e-5, equal_nan=True)
        for x, y in zip(a, b, strict=True)
    )


def has_nan(result: list[Tensor]) -> bool:
    return any(bool(part.isnan().any()) for part in result if part.is_floating_point())


def with_rows(given: dict[str, Any]) -> list[str]:
    """Arguments with one row per example."""
    return [
        key
        for key in arrays(given)
        if key not in ("times", "path")
        and (given[key].alpha_t if is_scales(given[key]) else given[key]).shape[:1] == (BATCH,)
    ]


# The rules -----------------------------------------------------------------------------


def purity(name: str) -> Faults:
    """The caller's tensors and the process are as they were; same seed, same answer."""
    run(name, arguments(name))  # what it imports on its first call may draw numbers
    given = arguments(name)
    before = {key: copy.deepcopy(part) for key, part in tensors(given)}
    versions = {key: part._version for key, part in tensors(given)}
    state = global_state()
    first = leaves(run(name, given))
    if global_state() != state:
        yield "changed the global state"
    for key, part in tensors(given):
        if part._version != versions[key] or not torch.equal(
            part.nan_to_num(), before[key].nan_to_num()
        ):
            yield f"changed the caller's {key}"
    if not same(first, leaves(run(name, arguments(name))), rtol=0):
        yield "gave two answers to one seed"


def tensors(given: dict[str, Any]) -> list[tuple[str, Tensor]]:
    found = []
    for key, value in given.items():
        parts = list(value) if isinstance(value, list | tuple) else [value]
        found += [(f"{key}{i}", p) for i, p in enumerate(parts) if isinstance(p, Tensor)]
    return found


def global_state() -> tuple[Any, ...]:
    return (
        torch.get_rng_state().numpy().tobytes(),
        str(np.random.get_state()[1:3]),  # noqa: NPY002 - the state that must not move
        random.getstate(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
    )


SHAPES: dict[str, Callable[[Tensor], Tensor]] = {
    "one row more": lambda x: torch.cat([x, x[-1:]]),
    "one row": lambda x: x[:1],
    "one column": lambda x: x[:, :1],
    "one axis more": lambda x: x[..., None],
    "one axis more in front": lambda x: x[None],
    "transposed": lambda x: x.mT,
}


def shapes(name: str) -> Faults:
    """One argument of another shape than its companions is refused, not broadcast."""
    given = arguments(name)
    rows = with_rows(given)
    if len(rows) < 2:
        return
    right = [part.shape for part in answer(name, arguments(name))]
    for key in rows:
        shape = (given[key].alpha_t if is_scales(given[key]) else given[key]).shape
        for what, how in SHAPES.items():
            # Only an argument that has a companion of the same shape must keep its other axes.
            twin = any(
                other != key and not is_scales(given[other]) and given[other].shape == shape
                for other in rows
            )
            if not what.startswith("one row") and (len(shape) < 2 or not twin):
                continue
            if (
                torch.empty(shape, device="meta").shape
                == how(torch.empty(shape, device="meta")).shape
            ):
                continue
            odd = arguments(name)
            odd[key] = change(odd[key], how)
            try:
                result = answer(name, odd)
            except LOUD:
                continue
            got = [tuple(part.shape) for part in result]
            yield f"{key} with {what}: answered {got}, right is {[tuple(r) for r in right]}"


def integers(name: str) -> Faults:
    """Integers where floats are meant: refused, or taken for the same floats."""
    for key in arrays(arguments(name)):
        odd, plain = arguments(name), arguments(name)
        odd[key] = change(odd[key], lambda x: x.round().long())
        plain[key] = change(plain[key], lambda x: x.round())
        try:
            result = answer(name, odd)
        except LOUD:
            continue
        try:
            right = answer(name, plain)
        except LOUD:
            yield f"{key} of integers: answered, but refuses the same floats"
            continue
        if not same(result, right, rtol=1e-3):
            yield f"{key} of integers: another answer than the same floats"


# PyTorch multiplies matrices with a tensor of the meta device unseen, and gives numbers from unused
# memory, as torch.ones(2, 3) @ torch.ones(3, 2, device="meta") does. A real device it refuses.
UNSEEN = {
    "gaussian_kernel", "polynomial_kernel", "nearest_neighbor_ratio", "optimal_coupling",
    "inverse.linear_posterior", "tilted_by_measurement",
}  # fmt: skip


def devices(name: str) -> Faults:
    """Arguments on two devices are refused, or the answer is on the device of the data."""
    if name in UNSEEN:
        return
    given = arguments(name)
    keys = arrays(given)
    for key in keys:
        odd = arguments(name)
        odd[key] = change(odd[key], lambda x: x.to("meta"))
        try:
            result = answer(name, odd)
        except LOUD:
            continue
        if len(keys) > 1 and result and not any(part.is_meta for part in result):
            yield f"{key} on another device: answered"


def strides(name: str) -> Faults:
    """The layout of a tensor in memory is nobody's business."""

    def apart(x: Tensor) -> Tensor:
        return torch.stack([x, x.flip(0) if x.ndim else x], -1)[..., 0]

    for key in arrays(arguments(name)):
        for what, how, plain in (
            ("strided", apart, lambda x: x.clone()),
            (
                "expanded",
                lambda x: x[:1].expand_as(x) if x.ndim else x,
                lambda x: x[:1].expand_as(x).contiguous() if x.ndim else x,
            ),
        ):
            odd, right = arguments(name), arguments(name)
            odd[key], right[key] = change(odd[key], how), change(right[key], plain)
            try:
                wanted = answer(name, right)
            except REFUSALS:
                continue
            if not same(answer(name, odd), wanted):
                yield f"{key} {what}: another answer"


def halves(name: str) -> Faults:
    """Half precision in, half precision out, finite where float32 is; or refused."""
    keys = [k for k in arrays(arguments(name)) if k not in ("times", "t", "s")]
    if not keys:
        return
    for dtype in (torch.float16, torch.bfloat16):
        odd = arguments(name)
        for key in keys:
            odd[key] = change(odd[key], lambda x: x.to(dtype))  # noqa: B023
        try:
            result = answer(name, odd)
        except LOUD:
            continue
        for part, right in zip(result, answer(name, arguments(name)), strict=False):
            if not part.is_floating_point() or right.dtype != torch.float32:
                continue
            if part.dtype != dtype:
                yield f"{dtype} in, {part.dtype} out"
            elif part.shape == right.shape and bool((right.isfinite() & ~part.isfinite()).any()):
                yield f"{dtype}: not finite where float32 is"


def times(name: str) -> Faults:
    """Times outside [0, 1] and times that are no numbers are refused; both ends have an answer."""
    for key in ("t", "s", "times", "t_min", "t_max"):
        value = defaults(name).get(key)
        if value is None:
            continue
        for bad in (math.nan, -0.1, 1.1):
            odd = arguments(name)
            odd[key] = put(value, bad)
            try:
                run_all(name, odd)
            except REFUSALS:
                continue
            yield f"{key} = {bad}: answered"
        if key in ("t", "s") and isinstance(value, Tensor):
            for end in (0.0, 1.0):
                odd = arguments(name)
                odd[key] = torch.full_like(value, end)
                try:
                    result = run_all(name, odd)
                except REFUSALS:
                    continue
                if has_nan(result):
                    yield f"{key} = {end}: NaN"


def run_all(name: str, given: dict[str, Any]) -> list[Tensor]:
    return answer(name, given)


def put(value: Any, bad: float) -> Any:
    if isinstance(value, Tensor):
        odd = value.clone(memory_format=torch.contiguous_format)
        odd.view(-1)[0] = bad
        return odd
    if isinstance(value, list | tuple):
        return (bad, *value[1:])
    return bad


def defaults(name: str) -> dict[str, Any]:
    """Good arguments, and the defaults of those that are not given."""
    entry = public()[name]
    given = arguments(name)
    target = entry.call
    if entry.owner is not None:
        static = inspect.getattr_static(entry.owner, name.rsplit(".", 1)[1])
        if isinstance(static, property):
            return given
        target = getattr(entry.owner, name.rsplit(".", 1)[1])
    for key, parameter in inspect.signature(target).parameters.items():
        if key not in given and parameter.default is not parameter.empty:
            given[key] = parameter.default
    return given


def ends(name: str) -> Faults:
    """With nothing left of the data, or no noise, there is an answer or a refusal, never NaN."""
    for key, value in arguments(name).items():
        if not is_scales(value):
            continue
        for what, at in (("alpha = 0", 1.0), ("sigma = 0", 0.0)):
            odd = arguments(name)
            time = torch.full_like(value.alpha_t, at)
            odd[key] = run("Cosine.__call__", {"t": time})
            try:
                result = answer(name, odd)
            except REFUSALS:
                continue
            if has_nan(result):
                yield f"{key} with {what}: NaN"


def empty(name: str) -> Faults:
    """No examples: an answer without examples, or a refusal in words."""
    rows = with_rows(arguments(name))
    if not rows:
        return
    odd = arguments(name)
    for key in rows:
        odd[key] = change(odd[key], lambda x: x[:0])
    for key, value in odd.items():
        if isinstance(value, Tensor) and key not in rows and value.shape[:1] == (BATCH,):
            odd[key] = value[:0]
    try:
        answer(name, odd)
    except REFUSALS:
        return
    except Exception as fault:
        yield f"empty batch: {type(fault).__name__}: {fault}".splitlines()[0]


# Of these there may be none; of everything else that is counted there is at least one.
MAYBE_NONE = {
    "n_samples", "n_characters", "n_symbols", "n", "n_steps", "n_blocks", "warmup_steps",
    "measure_every",
}  # fmt: skip


def counts(name: str) -> Faults:
    """A count of -1 is refused, and says what it counts; 0 too, but for things that may be none."""
    for key, value in defaults(name).items():
        if type(value) is not int or key in ("seed", "k", "blank", "entry"):
            continue
        for bad in (0, -1):
            odd = arguments(name)
            odd[key] = bad
            try:
                result = answer(name, odd)
            except REFUSALS as refusal:
                words = [str(bad), "must lie", *(word for word in key.split("_") if len(word) > 1)]
                if not re.search("|".join(words), str(refusal)):
                    yield f"{key} = {bad}: refused without a word on it: {refusal}"
                continue
            except Exception as fault:
                yield f"{key} = {bad}: {type(fault).__name__}: {fault}".splitlines()[0][:120]
                continue
            if bad < 0 or key not in MAYBE_NONE or has_nan(result):
                yield f"{key} = {bad}: answered"


def steps(name: str) -> Faults:
    """A walk over no time or one is refused or stays where it is; over two it takes a step."""
    if not isinstance(arguments(name).get("times"), Tensor):
        return
    for n in (0, 1, 2):
        odd = arguments(name)
        odd["times"] = odd["times"][:n]
        try:
            result = answer(name, odd)
        except REFUSALS as refusal:
            if n == 2:
                yield f"two times: {refusal}"
            continue
        except Exception as fault:
            yield f"{n} times: {type(fault).__name__}: {fault}".splitlines()[0][:120]
            continue
        if has_nan(result):
            yield f"{n} times: NaN"


FLAT: dict[str, Callable[[Tensor], Tensor]] = {
    "on a line": lambda x: x[..., :1].expand_as(x).contiguous(),
    "in one point": lambda x: x[:1].expand_as(x).contiguous(),
    "of nothing": torch.zeros_like,
}


def singular(name: str) -> Faults:
    """Data without spread and matrices without rank have an answer, or are refused by name."""
    for key in arrays(arguments(name)):
        if is_scales(arguments(name)[key]) or arguments(name)[key].ndim < 2:
            continue
        for what, how in FLAT.items():
            odd = arguments(name)
            x = odd[key]
            square = x.shape[-1] == x.shape[-2] and torch.equal(x, x.mT)
            odd[key] = torch.ones_like(x) if square and what != "of nothing" else how(x)
            try:
                result = answer(name, odd)
            except REFUSALS:
                continue
            except Exception as fault:
                yield f"{key} {what}: {type(fault).__name__}: {fault}".splitlines()[0][:120]
                continue
            if has_nan(result):
                yield f"{key} {what}: NaN"


def numbers(name: str) -> Faults:
    """A number that is none is refused, or its answer is none either."""
    for key, value in defaults(name).items():
        if type(value) is not float:
            continue
        odd = arguments(name)
        odd[key] = math.nan
        try:
            result = answer(name, odd)
        except REFUSALS:
            continue
        except Exception as fault:
            yield f"{key} = NaN: {type(fault).__name__}: {fault}".splitlines()[0][:120]
            continue
        if not has_nan(result):
            yield f"{key} = NaN: answered"


def nans(name: str) -> Faults:
    """NaN in the data is refused, or seen in the answer."""
    for key in arrays(arguments(name)):
        odd = arguments(name)
        odd[key] = change(odd[key], lambda x: put(x, math.nan))
        try:
            result = answer(name, odd)
        except LOUD:
            continue
        if result and not has_nan(result):
            yield f"NaN in {key}: answered"


EXTREME = ("logit", "parameters", "log_q", "log_p", "log_weights", "log_snr", "output", "z_log_var")


def extremes(name: str) -> Faults:
    """Logits of +-1e4 overflow an exponential; a careful formula does not give NaN."""
    for key in EXTREME:
        if not isinstance(arguments(name).get(key), Tensor):
            continue
        for size in (1e4, -1e4):
            odd = arguments(name)
            odd[key] = odd[key].sign() * size
            try:
                result = answer(name, odd)
            except REFUSALS:
                continue
            if has_nan(result):
                yield f"{key} of +-{abs(size):g}: NaN"


RULES = (
    purity, shapes, integers, devices, strides, halves, times, ends, empty, counts, steps,
    singular, numbers, nans, extremes,
)  # fmt: skip


def is_record(name: str) -> bool:
    """A named tuple or a dataclass that checks nothing: it holds what it is given."""
    cls = public()[name].call
    if not inspect.isclass(cls) or public()[name].owner is not None:
        return False
    plain = dataclasses.is_dataclass(cls) and not hasattr(cls, "__post_init__")
    return issubclass(cls, tuple) or plain
