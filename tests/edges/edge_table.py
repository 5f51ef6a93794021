"""One row per public callable: arguments that are good, from which bad and odd ones are made.

A parameter's name means one thing in the whole library, so `COMMON` gives it one example for all.
A row of `TABLE` holds what is special to its callable: `{}` says that the common ones do. A class
is a row, and so is each of its public methods; the class's row makes the object they run on.

A name that two modules share is written with its module: `gan.fit`. Values are made afresh for
each call, so that a function which changes its arguments cannot hide it.
"""

import functools
import gzip
import importlib
import inspect
import itertools
import math
import pkgutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import fromnoise

BATCH, DIM = 3, 2

# Not run here, and why.
ELSEWHERE = {
    "advance": "steps a run in place: tests/test_training.py",
    "mnist": "downloads a file: tests/test_datasets.py serves one",
    "fashion_mnist": "downloads a file: tests/test_datasets.py serves one",
    "fetch": "downloads a file: tests/test_downloads.py serves one",
    "export_network": "traces for seconds a call: tests/test_export.py",
}
# Modules whose arguments no table can make: Matplotlib's objects, runs in the middle, processes.
OWN_TESTS = {
    "fromnoise.checkpoints": "tests/test_checkpoints.py",
    "fromnoise.distributed": "tests/test_distributed.py",
    "fromnoise.figures": "tests/test_figures.py",
}


class Public(NamedTuple):
    """A callable that a reader may call."""

    name: str
    call: Callable[..., Any]
    owner: type | None
    module: str


def _own(module: Any) -> list[tuple[str, Any]]:
    return [
        (name, value)
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    ]


def _runs(cls: type) -> bool:
    """Neither an interface nor an error: a class to make objects of."""
    return not (
        inspect.isabstract(cls) or getattr(cls, "_is_protocol", False) or issubclass(cls, Exception)
    )


def _methods(cls: type) -> list[str]:
    """Public methods and properties; an inherited one belongs to the class that has it first."""
    names = {
        name
        for part in cls.__mro__
        if part.__module__.startswith("fromnoise")
        for name, value in vars(part).items()
        if (inspect.isfunction(value) or isinstance(value, property | classmethod))
        and (not name.startswith("_") or name == "__call__")
    }
    return sorted(names)


@functools.cache
def public() -> dict[str, Public]:
    """Every public callable of the package, found by inspection."""
    found: list[tuple[str, str, Any, type | None]] = []
    for info in pkgutil.walk_packages(fromnoise.__path__, "fromnoise."):
        if info.ispkg or info.name in OWN_TESTS:
            continue
        for name, value in _own(importlib.import_module(info.name)):
            if inspect.isclass(value) and not _runs(value):
                continue
            found.append((info.name, name, value, None))
            if inspect.isclass(value):
                methods = _methods(value)
                found += [(info.name, f"{name}.{m}", value, value) for m in methods]
    names = [name for _, name, _, _ in found]
    rows = {}
    for module, name, value, owner in found:
        first = name.split(".")[0]
        shared = sum(n == first for n in names) > 1
        key = f"{module.rsplit('.', 1)[-1]}.{name}" if shared else name
        rows[key] = Public(key, value, owner, module)
    return rows


# Building blocks ---------------------------------------------------------------------------------


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def get(name: str) -> Any:
    """The class or function of this name, wherever in the package it lives."""
    return public()[name].call if name in public() else _abstract(name)


def _abstract(name: str) -> Any:
    raise LookupError(f"no public callable is named {name}")


def make(name: str, **changes: Any) -> Any:
    """An object of a class of the table."""
    return get(name)(**{**arguments(name), **changes})


def half_denoiser(x_t: Tensor, t: Tensor) -> Tensor:
    return 0.5 * x_t


def gaussian_score(x: Tensor, t: Tensor | None = None) -> Tensor:
    return -x


def spd(dim: int = DIM) -> Tensor:
    a = normal(dim, dim, seed=5)
    return a @ a.mT + torch.eye(dim)


def gaussian(dim: int = DIM) -> Any:
    return get("gaussians.Gaussian")(normal(dim), spd(dim))


def scales_at(*t: float) -> Any:
    return make("Cosine")(torch.tensor(t))


def token_logits(tokens: Tensor) -> Tensor:
    return torch.zeros(*tokens.shape, 3) + torch.tensor([0.0, 1.0, 2.0])


class Uniform:
    """A `Conditional` over three characters."""

    blank = 3

    def __call__(self, tokens: Tensor) -> Tensor:
        return token_logits(tokens)


def tiny_settings() -> Any:
    return get("TrainingSettings")(n_steps=2, batch_size=3, warmup_steps=1)


def tiny_loss(network: nn.Module, batch: Any, generator: torch.Generator) -> Tensor:
    return network(batch[0]).square().mean()


def linear_network() -> nn.Module:
    generator = seeded()
    network = nn.Linear(DIM, DIM, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return network


def simplex(*shape: int, seed: int = 0) -> Tensor:
    return normal(*shape, seed=seed).softmax(-1)


def symbols() -> Tensor:
    return torch.tensor([0, 2, 1, 1, 0])


def scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="edges-"))


def image(n: int = BATCH, side: int = 4) -> Tensor:
    return normal(n, 1, side, side).clamp(-1, 1)


def stepper() -> Any:
    return get("ddim_step")


# What a name stands for, everywhere ----------------------------------------------------

COMMON: dict[str, Callable[[], Any]] = {
    "x_0": lambda: normal(BATCH, DIM, seed=1),
    "x_t": lambda: normal(BATCH, DIM, seed=2),
    "x_s": lambda: normal(BATCH, DIM, seed=3),
    "x_1": lambda: normal(BATCH, DIM, seed=4),
    "x": lambda: normal(BATCH, DIM, seed=5),
    "y": lambda: normal(BATCH, DIM, seed=6),
    "z": lambda: normal(BATCH, DIM, seed=7),
    "v": lambda: normal(BATCH, DIM, seed=8).sign(),
    "eps": lambda: normal(BATCH, DIM, seed=9),
    "x_0_hat": lambda: normal(BATCH, DIM, seed=10),
    "v_angle": lambda: normal(BATCH, DIM, seed=11),
    "velocity": lambda: normal(BATCH, DIM, seed=12),
    "score": lambda: gaussian_score,
    "true_score": lambda: gaussian_score,
    "output": lambda: normal(BATCH, DIM, seed=13),
    "data": lambda: normal(8, DIM, seed=14),
    "u": lambda: torch.tensor([0.2, 0.5, 0.8]),
    "t": lambda: torch.tensor([0.3, 0.5, 0.7]),
    "s": lambda: torch.tensor([0.1, 0.2, 0.3]),
    "log_snr": lambda: torch.tensor([-1.0, 0.0, 2.0]),
    "times": lambda: torch.tensor([0.9, 0.5, 0.2]),
    "scales": lambda: scales_at(0.3, 0.5, 0.7),
    "scales_t": lambda: scales_at(0.3, 0.5, 0.7),
    "scales_s": lambda: scales_at(0.1, 0.2, 0.3),
    "scales_1": lambda: scales_at(0.9, 0.9, 0.9),
    "schedule": lambda: make("Cosine"),
    "made_for": lambda: make("Rectified"),
    "denoiser": lambda: half_denoiser,
    "conditional": lambda: half_denoiser,
    "unconditional": lambda: half_denoiser,
    "guided": lambda: half_denoiser,
    "generator": seeded,
    "n_steps": lambda: 3,
    "n_samples": lambda: 4,
    "step": lambda: 0.1,
    "log_prob": lambda: lambda x: -x.square().sum(-1) / 2,
    "target": lambda: make("PredictV"),
    "guidance_scale": lambda: 1.5,
    "z_mean": lambda: normal(BATCH, DIM, seed=15),
    "z_log_var": lambda: normal(BATCH, DIM, seed=16),
    "log_px_given_z": lambda: -normal(4, BATCH, seed=17).abs(),
    "log_pz": lambda: -normal(4, BATCH, seed=18).abs(),
    "log_qz_given_x": lambda: -normal(4, BATCH, seed=19).abs(),
    "p": lambda: simplex(BATCH, 4),
    "q": lambda: simplex(BATCH, 4, seed=1),
    "n_dims": lambda: DIM,
    "width": lambda: 8,
    "seed": lambda: 0,
    "settings": tiny_settings,
    "n_latents": lambda: DIM,
    "images": image,
    "labels": lambda: torch.tensor([0, 1, 1]),
    "label": lambda: None,
    "levels": lambda: torch.linspace(-1, 1, 5),
    "dropout": lambda: 0.0,
}


def arguments(name: str) -> dict[str, Any]:
    """Fresh good arguments of a callable."""
    row = TABLE[name]
    given = {key: make_value() for key, make_value in row.items()}
    wanted = given.pop("only", None)
    entry = public()[name]
    if entry.owner is not None:
        target = getattr(entry.owner, name.rsplit(".", 1)[1])
        if isinstance(inspect.getattr_static(entry.owner, name.rsplit(".", 1)[1]), property):
            return {}
    else:
        target = entry.call
    for key, parameter in inspect.signature(target).parameters.items():
        if key in given or key == "self":
            continue
        needed = parameter.default is inspect.Parameter.empty
        if needed and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            if key in ("statistic", "network") and "*" in given:
                continue
            if key not in COMMON:
                raise LookupError(f"{name}: no example for {key}")
            given[key] = COMMON[key]()
    if wanted is not None:
        given = {key: given[key] for key in wanted}
    return given


def subject(name: str) -> Any:
    """A fresh object for a method to run on."""
    owner = name.rsplit(".", 1)[0]
    return make(owner)


def run(name: str, given: dict[str, Any]) -> Any:
    """Call it. A context manager is entered, a generator used up."""
    entry = public()[name]
    given = dict(given)
    positional = given.pop("*", ())
    if entry.owner is None:
        result = entry.call(*positional, **given)
    else:
        method = name.rsplit(".", 1)[1]
        static = inspect.getattr_static(entry.owner, method)
        if isinstance(static, classmethod):
            return getattr(entry.owner, method)(*positional, **given)
        thing = given.pop("on", None) or subject(name)
        if isinstance(static, property):
            return getattr(thing, method)
        result = getattr(thing, method)(*positional, **given)
    if hasattr(result, "__enter__") and hasattr(result, "gen"):
        with result as inside:
            return inside
    return result


L = lambda value: lambda: value  # noqa: E731 - a constant that needs no copy

TABLE: dict[str, dict[str, Callable[[], Any]]] = {}


def times_one(x: float) -> Callable[[], Tensor]:
    return lambda: torch.tensor(x, dtype=torch.float64)


def pixels() -> Tensor:
    return make("from_levels", levels=torch.tensor([[0, 8], [16, 3], [5, 5]]))


def bits() -> Tensor:
    return torch.tensor([[-1.0, 1.0], [1.0, 1.0], [1.0, -1.0]])


def vae() -> Any:
    return make("VAE")


def transformer() -> Any:
    return make("Transformer")


def tokens() -> Tensor:
    return torch.tensor([[0, 1, 2], [2, 2, 0], [1, 0, 1]])


def mask() -> Tensor:
    return torch.tensor([True, False])


def times_mask() -> Any:
    return make("LinearMask")


WANTED = ("x_0", "eps", "v", "velocity")
ON_TIMES = {"t": times_one(0.7), "s": times_one(0.4)}
MEAN_VELOCITY = lambda: lambda x, s, t: 0.5 * x * (t - s).reshape(-1, *[1] * (x.ndim - 1))  # noqa: E731
PARAMETERS = {"parameters": lambda: normal(BATCH, DIM, 1, seed=20)}
MODEL = {"model": lambda: make("LinearGaussian")}
FEATURES = {
    "features_a": lambda: normal(12, DIM, seed=21),
    "features_b": lambda: normal(11, DIM, seed=22),
}
GAUSS_Q = {"q": lambda: get("gaussians.Gaussian")(normal(BATCH, 1), torch.eye(1))}
PAIR = {"p": gaussian, "q": lambda: get("gaussians.Gaussian")(normal(DIM, seed=2), torch.eye(DIM))}
SERIES = {"model": lambda: make("AdaptiveCounts"), "symbols": symbols}
IMAGE_X = {"x": image, "y": image}

TABLE |= {
    "RateSplit": {"information": L(1.0), "misfit": L(2.0)},
    "rate_split": {"n_draws": L(4)},
    "Plane": {"z": lambda: normal(4, 2), "log_cell": L(0.0), "n_side": L(2)},
    "plane": {"extent": L(2.0), "n_side": L(3)},
    "log_aggregate": {"z": lambda: normal(5, DIM, seed=7)},
    "log_likelihood_on_plane": {
        "model": vae,
        "x": bits,
        "grid": lambda: make("plane"),
    },
    "AdaptiveCounts": {"n_outcomes": L(3)},
    "AdaptiveCounts.next_probabilities": {"prefix": symbols},
    "ideal_bits": SERIES,
    "arithmetic_encode": SERIES,
    "arithmetic_decode": {
        "bits": lambda: get("arithmetic_encode")(symbols(), make("AdaptiveCounts")),
        "model": lambda: make("AdaptiveCounts"),
        "n_symbols": L(5),
    },
    "cumulative_counts": {"p": lambda: simplex(4)},
    "reconstruction_error": {"denoiser": lambda: lambda x: x / 2, "sigma": L(0.5)},
    "score_of_denoiser": {"denoiser": lambda: lambda x: x / 2, "sigma": L(0.5)},
    "LinearDenoiser": {"mean": lambda: normal(DIM), "matrix": spd},
    "perceptron": {"n_inputs": L(2), "width": L(8), "n_outputs": L(3)},
    "shrinkage": {"variances": lambda: normal(DIM).square(), "sigma": L(0.5)},
    "chain_variances": {"variances": lambda: normal(DIM).square(), "sigmas": L((1.0, 0.5))},
    "fit_linear_denoiser": {"sigma": L(0.5)},
    "DenoisingChain": {"sigmas": L((1.0, 0.5)), "width": L(8)},
    "stagewise_loss": {
        "network": lambda: make("DenoisingChain"),
        "batch": lambda: (normal(BATCH, DIM),),
    },
    "end_to_end_loss": {
        "network": lambda: make("DenoisingChain"),
        "batch": lambda: (normal(BATCH, DIM),),
    },
    "fit_chain": {"sigmas": L((1.0, 0.5)), "width": L(8), "settings": tiny_settings},
    "fit_autoencoder": {"n_latents": L(1), "width": L(8), "settings": tiny_settings},
    "AutoregressiveDecoder": {"n_parameters": L(2), "n_dims": L(3)},
    "AutoregressiveDecoder.forward": {"x": lambda: normal(BATCH, 3)},
    "check_positive": {"p": lambda: simplex(4)},
    "huffman_code": {"p": lambda: simplex(4)},
    "check_symbols": {"symbols": symbols, "n_outcomes": L(3)},
    "check_bits": {"bits": L("0110")},
    "kraft_sum": {"lengths": L((1, 2, 2))},
    "prefix_code": {"lengths": L((1, 2, 2))},
    "encode_words": {"symbols": symbols, "code": L(("0", "10", "11"))},
    "decode_words": {"bits": L("01110"), "code": L(("0", "10", "11")), "n_symbols": L(3)},
    "pack_bits": {"bits": L("0110")},
    "unpack_bits": {"data": L(b"ab")},
    "Split": {},
    "Splits": {"train": L(None), "validation": L(None), "test": L(None), "n_levels": L(17)},
    "content_hash": {"name": L("digits")},
    "from_levels": {"levels": symbols},
    "Bernoulli.log_prob": {**PARAMETERS, "x": bits},
    "Bernoulli.mean": PARAMETERS,
    "Bernoulli.sample": PARAMETERS,
    "decoders.Gaussian.log_prob": {**PARAMETERS, "x": pixels},
    "decoders.Gaussian.log_mass": {**PARAMETERS, "x": pixels},
    "decoders.Gaussian.mean": PARAMETERS,
    "decoders.Gaussian.sample": PARAMETERS,
    "decoders.Gaussian": {"learned": L(False)},
    "log_bin": {"mean": lambda: normal(BATCH, DIM), "log_scale": COMMON["z_log_var"], "x": pixels},
    "DiscretizedLogistic.log_prob": {
        "parameters": lambda: normal(BATCH, DIM, 2, seed=20),
        "x": pixels,
    },
    "DiscretizedLogistic.log_probs": {"parameters": lambda: normal(BATCH, DIM, 2, seed=20)},
    "DiscretizedLogistic.mean": {"parameters": lambda: normal(BATCH, DIM, 2, seed=20)},
    "DiscretizedLogistic.sample": {"parameters": lambda: normal(BATCH, DIM, 2, seed=20)},
    "Categorical.log_prob": {"parameters": lambda: normal(BATCH, DIM, 17, seed=20), "x": pixels},
    "Categorical.log_probs": {"parameters": lambda: normal(BATCH, DIM, 17, seed=20)},
    "Categorical.mean": {"parameters": lambda: normal(BATCH, DIM, 17, seed=20)},
    "Categorical.sample": {"parameters": lambda: normal(BATCH, DIM, 17, seed=20)},
    "Bound": {
        "prior": lambda: normal(BATCH),
        "steps": lambda: normal(BATCH),
        "reconstruction": lambda: normal(BATCH),
    },
    "three_term_bound": {"reconstruct": lambda: get("gaussian_reconstruction")},
    "continuous_bound": {"reconstruct": lambda: get("gaussian_reconstruction")},
    "simple_loss": {"network": lambda: half_denoiser},
    "RemoteFile": {"name": L("a"), "n_bytes": L(1), "sha256": L("0")},
    "cache_folder": {"name": L("a"), "cache_dir": scratch},
    "parse_idx": {"content": L(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]), mtime=0))},
    "iwae_bound": {"log_weights": COMMON["log_pz"]},
    "score_function_surrogate": {"value": COMMON["log_px_given_z"]},
    "linear_elbo": {**MODEL, **GAUSS_Q},
    "elbo_gap": {**MODEL, **GAUSS_Q},
    "standard_normal": {"like": gaussian},
    "linear_elbo.linear_posterior": MODEL,
    "em_step": {**MODEL, "x": lambda: normal(8, DIM)},
    "fit_linear_gaussian": {"x": lambda: normal(8, DIM), "n_latents": L(1)},
    "mean_field": {"p": gaussian},
    "mean_field_cost": {"p": gaussian},
    "gaussian_entropy": {"p": gaussian},
    "gaussian_kl_divergence": PAIR,
    "frechet_gaussians": {
        "mean_a": lambda: normal(DIM),
        "cov_a": spd,
        "mean_b": lambda: normal(DIM, seed=3),
        "cov_b": lambda: torch.eye(DIM),
    },
    "frechet_distance": FEATURES,
    "kernel_distance": FEATURES,
    "frechet_at_infinity": {**FEATURES, "sizes": L((6, 10)), "n_repeats": L(2)},
    "real_against_real": {
        **FEATURES,
        "labels_a": lambda: torch.arange(12) % 2,
        "labels_b": lambda: torch.arange(11) % 2,
        "n_splits": L(3),
    },
    "Classifier": {"image_size": L(4), "n_classes": L(2), "n_features": L(4)},
    "train_classifier": {"n_steps": L(2)},
    "c2st": {
        "samples_a": lambda: normal(12, DIM, seed=1),
        "samples_b": lambda: normal(12, DIM, seed=2),
        "n_folds": L(2),
    },
    "nearest_neighbor_ratio": {
        "samples": lambda: normal(5, DIM, seed=1),
        "training": lambda: normal(6, DIM, seed=2),
        "held_out": lambda: normal(7, DIM, seed=3),
    },
    "Conditionals": {
        "log_weights": lambda: simplex(BATCH, 2).log(),
        "means": lambda: normal(BATCH, 2),
        "stds": lambda: normal(BATCH, 2).abs(),
    },
    "Conditionals.log_prob": {"x": lambda: normal(BATCH)},
    "Autoregressive.conditional": {"entry": L(1)},
    "Autoregressive": {"width": L(8)},
    "autoregressive.fit": {"width": L(8), "settings": tiny_settings},
    "contrastive_loss": {
        "energy": lambda: lambda x: x.square().sum(-1),
        "negatives": lambda: normal(4, DIM, seed=3),
    },
    "energy_score": {"energy": lambda: lambda x: x.square().sum(-1)},
    "EnergyModel": {"width": L(8)},
    "EnergyModel.sample": {"n_steps": L(3)},
    "EnergyModel.log_partition": {"n_per_axis": L(21)},
    "energy.fit": {
        "width": L(8),
        "settings": lambda: get("energy.Settings")(
            n_steps=2, batch_size=4, n_chains=4, n_chain_steps=2
        ),
    },
    "real_loss": {"logit": lambda: normal(BATCH)},
    "fake_loss": {"logit": lambda: normal(BATCH)},
    "saturating_loss": {"logit": lambda: normal(BATCH)},
    "non_saturating_loss": {"logit": lambda: normal(BATCH)},
    "optimal_logit": {"log_q": lambda: normal(BATCH), "log_p": lambda: normal(BATCH, seed=1)},
    "gradient_penalty": {"discriminator": lambda: lambda x: x.square().sum(-1)},
    "GAN": {"n_latents": L(2), "width": L(8)},
    "gan.fit": {
        "width": L(8),
        "settings": lambda: get("gan.Settings")(n_steps=2, batch_size=4),
    },
    "NormalizingFlow": {"width": L(8), "n_layers": L(2)},
    "normalizing_flow.fit": {"width": L(8), "n_layers": L(2), "settings": tiny_settings},
    "Coupling": {"kept": mask, "transform": lambda: make("Affine")},
    "Affine.__call__": {
        "u": lambda: normal(BATCH, DIM),
        "parameters": lambda: normal(BATCH, DIM, 2, seed=3),
    },
    "Affine.undo": {"parameters": lambda: normal(BATCH, DIM, 2, seed=3)},
    "Spline": {"n_bins": L(2)},
    "Spline.__call__": {
        "u": lambda: normal(BATCH, DIM),
        "parameters": lambda: normal(BATCH, DIM, 5, seed=3),
    },
    "Spline.undo": {"parameters": lambda: normal(BATCH, DIM, 5, seed=3)},
    "marginal_flow_matching": {
        "velocity": lambda: half_denoiser,
        "true_velocity": lambda: half_denoiser,
    },
    "conditional_flow_matching": {"velocity": lambda: half_denoiser},
    "velocity_denoiser": {"velocity": lambda: half_denoiser},
    "straightness": {"path": lambda: normal(3, BATCH, DIM)},
    "mean_flow_step": {"mean_velocity": MEAN_VELOCITY},
    "mean_flow_target": {"mean_velocity": MEAN_VELOCITY},
    "mean_flow_loss": {"mean_velocity": MEAN_VELOCITY},
    "kl_diagonal": {"mean_q": COMMON["z_mean"], "log_var_q": COMMON["z_log_var"]},
    "kl_full": {
        "mean_q": lambda: normal(DIM),
        "cholesky_q": lambda: torch.linalg.cholesky(spd()),
        "mean_p": lambda: normal(DIM, seed=3),
        "cholesky_p": lambda: torch.eye(DIM),
    },
    "gaussians.Gaussian": {"mean": lambda: normal(DIM), "covariance": spd},
    "gaussians.Gaussian.wasserstein_2": {"other": PAIR["q"]},
    "GaussianMixture": {
        "weights": lambda: torch.tensor([0.25, 0.75]),
        "means": lambda: torch.tensor([[0.0, 1.0], [2.0, -1.0]]),
        "covariances": lambda: spd()[None],
    },
    "GaussianMixture.component": {"k": L(1)},
    "GaussianMixture.isotropic": {"means": lambda: normal(4, DIM), "std": L(0.3)},
    "LinearGaussian": {
        "loadings": lambda: normal(DIM, 1),
        "mean": lambda: normal(DIM, seed=3),
        "noise_std": lambda: torch.tensor(0.5),
    },
    "LinearGaussian.log_px_given_z": {"z": lambda: normal(BATCH, 1)},
    "optimal_prediction": {"distribution": lambda: make("GaussianMixture")},
    "denoiser": {"distribution": lambda: make("GaussianMixture")},
    "dequantize": {"level_width": L(0.125)},
    "fit_gaussian": {"x": lambda: normal(8, DIM)},
    "fit_class_gaussians": {"x": lambda: normal(8, DIM), "labels": lambda: torch.arange(8) % 2},
    "Memorizer": {"points": lambda: normal(5, DIM)},
    "Memorizer.log_prob": {"x": lambda: normal(5, DIM)[:3]},
    "Diluted": {"model": lambda: make("Memorizer"), "noise": gaussian},
    "Bigram": {"text": L("abba cab")},
    "Bigram.log_prob": {"text": L("abba")},
    "Bigram.sample": {"n_characters": L(5)},
    "ChainTerms": {
        "top_rate": lambda: normal(BATCH),
        "rate": lambda: normal(BATCH),
        "distortion": lambda: normal(BATCH),
    },
    "MarkovianVAE": {
        "likelihood": lambda: make("Bernoulli"),
        "n_latents": L((2, 2)),
        "n_dims": L(DIM),
        "width": L(8),
    },
    "MarkovianVAE.climb": {"z_1": lambda: normal(BATCH, 2)},
    "MarkovianVAE.forward": {
        "x": bits,
        "eps_1": lambda: normal(BATCH, 2),
        "eps_2": lambda: normal(BATCH, 2, seed=1),
    },
    "bits_per_dim": {"nats": lambda: normal(BATCH)},
    "mean_interval": {"values": L((1.0, 2.0, 4.0))},
    "bootstrap_interval": {
        "*": lambda: [lambda x: float(x.mean()), normal(6, DIM)],
        "n_resamples": L(3),
    },
    "check_level": {"level": L(0.9)},
    "inverse.linear_posterior": {
        "prior": lambda: make("GaussianMixture"),
        "matrix": lambda: normal(1, DIM),
        "y": lambda: normal(1),
        "noise_std": L(0.5),
    },
    "replacement": {"step": stepper, "mask": mask},
    "repaint": {"step": stepper, "mask": mask, "n_repeats": L(2)},
    "dps": {"step": stepper, "operator": lambda: make("Dense"), "y": lambda: normal(BATCH, 1)},
    "measurement_guided": {
        "operator": lambda: make("Dense"),
        "y": lambda: normal(BATCH, 1),
        "noise_std": L(0.5),
    },
    "replacement_moments": {"mask": mask, "y": lambda: normal(DIM)},
    "zero": {"activity": COMMON["x"]},
    "to_mean": {"recording": COMMON["x"]},
    "Lesion": {"module": L(""), "replacement": lambda: get("zero")},
    "Lesion.cut": {"activity": COMMON["x"]},
    "lesioned": {"*": lambda: [linear_network(), make("Lesion")]},
    "recorded": {"network": linear_network, "module": L("")},
    "effect_by_time": {
        "network": lambda: linear_network().eval(),
        "lesions": lambda: (make("Lesion"),),
        "loss": lambda: lambda t: t.expand(BATCH),
    },
    "LinearProbe": {"weight": lambda: normal(DIM, 1), "bias": lambda: normal(1)},
    "LinearProbe.__call__": {"features": COMMON["x"]},
    "LinearProbe.r_squared": {"features": COMMON["x"], "targets": lambda: normal(BATCH, 1)},
    "fit_probe": {"features": lambda: normal(8, DIM), "targets": lambda: normal(8, 1, seed=3)},
    "class_directions": {
        "features": lambda: normal(8, DIM),
        "labels": lambda: torch.arange(8) % 2,
    },
    "erased": {
        "activity": COMMON["x"],
        "basis": lambda: torch.eye(DIM)[:, :1],
        "center": lambda: normal(DIM),
    },
    "Inpainting": {"mask": mask},
    "Averaging": {"factor": L(2)},
    "Averaging.apply": {"x": image},
    "Averaging.adjoint": {"y": image},
    "Blur": {"kernel": lambda: normal(3, 3).abs()},
    "Blur.apply": {"x": image},
    "Blur.adjoint": {"y": image},
    "Dense": {"matrix": lambda: normal(1, DIM)},
    "Dense.adjoint": {"y": lambda: normal(BATCH, 1)},
    "as_matrix": {
        "operator": lambda: make("Dense", matrix=normal(1, DIM).double()),
        "shape": L((DIM,)),
    },
    "Grammar": {"slots": lambda: {"s": [("ab", 1.0, "s"), ("b", 2.0, "s")]}},
    "Grammar.sample": {"n_characters": L(4)},
    "Grammar.predictions": {"tokens": lambda: torch.tensor([[0, 1], [1, 0]])},
    "Grammar.log_prob": {"tokens": lambda: torch.tensor([[0, 1], [1, 0]])},
    "Grammar.slips": {"tokens": lambda: torch.tensor([[0, 1], [1, 0]])},
    "Grammar.__call__": {"tokens": lambda: torch.tensor([[0, 2], [2, 2]])},
    "Table": {"joint": lambda: simplex(9).reshape(3, 3)},
    "Table.__call__": {"tokens": lambda: torch.tensor([[0, 3], [3, 3], [1, 2]])},
    "Table.log_prob": {"tokens": lambda: torch.tensor([[0, 1], [2, 2]])},
    "diffusion_bound": {
        "conditional": Uniform,
        "x_0": lambda: torch.tensor([0, 2]),
        "schedule": times_mask,
    },
    "chain_bound": {
        "conditional": Uniform,
        "x_0": lambda: torch.tensor([0, 2]),
        "schedule": times_mask,
        "times": L((1.0, 0.5, 0.0)),
    },
    "any_order_bound": {"conditional": Uniform, "x_0": lambda: torch.tensor([0, 2])},
    "MaskRates": {"masked": COMMON["t"], "d_masked": COMMON["t"]},
    "surprises": {"conditional": Uniform, "x_0": tokens, "hidden": lambda: tokens() > 0},
    "masked_cost": {
        "conditional": Uniform,
        "x_0": tokens,
        "u": lambda: normal(BATCH, 3).sigmoid(),
        "schedule": times_mask,
    },
    "any_order_cost": {
        "conditional": Uniform,
        "x_0": tokens,
        "n_hidden": lambda: torch.tensor([1, 2, 3]),
        "u": lambda: normal(BATCH, 3).sigmoid(),
    },
    "masked_diffusion_loss": {"schedule": times_mask},
    "any_order_loss": {
        "network": lambda: make("Transformer", causal=False),
        "batch": lambda: (tokens(),),
    },
    "reveal_step": {
        "conditional": Uniform,
        "x_t": lambda: torch.full((BATCH, 3), 3),
        "t": L(0.8),
        "s": L(0.4),
        "schedule": times_mask,
    },
    "fill": {"conditional": Uniform, "tokens": lambda: torch.full((BATCH, 3), 3)},
    "n_parameters": {"network": linear_network},
    "sinusoids": {"n_features": L(4), "u": COMMON["u"]},
    "Condition": {
        "n_classes": L(2),
        "time_embedding": L(True),
        "time_feature": L(None),
    },
    "Condition.forward": {"label": COMMON["labels"]},
    "MLP": {"width": L(8)},
    "UNet": {"image_size": L(4), "channels": L(8)},
    "DiT": {"image_size": L(4), "width": L(16), "n_blocks": L(1), "n_heads": L(2)},
    "UNet.forward": {"x_t": image},
    "DiT.forward": {"x_t": image},
    "ResBlock": {"n_in": L(8), "n_out": L(8), "n_condition": L(4)},
    "ResBlock.forward": {
        "h": lambda: normal(BATCH, 8, 4, 4),
        "condition": lambda: normal(BATCH, 4),
    },
    "Attention": {"channels": L(8), "n_heads": L(2)},
    "Attention.forward": {"h": lambda: normal(BATCH, 8, 4, 4)},
    "DiTBlock": {"n_heads": L(2)},
    "DiTBlock.forward": {
        "h": lambda: normal(BATCH, 4, 8),
        "condition": lambda: normal(BATCH, 8),
    },
    "permutation_p_value": {
        "statistic": lambda: lambda a, b: float((a.mean() - b.mean()).abs()),
        "a": lambda: normal(6, DIM),
        "b": lambda: normal(6, DIM, seed=3),
        "n_permutations": L(9),
    },
    "measured_power": {
        "statistic": lambda: lambda a, b: float((a.mean() - b.mean()).abs()),
        "draw_a": lambda: lambda n, g: torch.randn(n, 1, generator=g),
        "draw_b": lambda: lambda n, g: torch.randn(n, 1, generator=g),
        "n": L(5),
        "n_trials": L(2),
        "n_permutations": L(19),
    },
    "t_test_power": {"effect": L(0.5), "n": L(20)},
    "n_to_tell_means_apart": {"effect": L(0.5)},
    "classifier_power": {"accuracy": L(0.6), "n": L(50)},
    "for_target": {"weight": lambda: get("simple_weight")},
    "Coefficients": {k: (lambda: normal(BATCH)) for k in ("c_skip", "c_out", "c_in", "c_noise")},
    "preconditioned": {"network": lambda: half_denoiser},
    "sha256_of": {"path": L(Path(__file__))},
    "write_whole": {"path": lambda: scratch() / "a", "content": L(b"a")},
    "save_tensors": {
        "path": lambda: scratch() / "a",
        "tensors": lambda: {"x": normal(2)},
    },
    "load_tensors": {"path": lambda: saved()},
    "polynomial_kernel": {"y": lambda: normal(4, DIM)},
    "gaussian_kernel": {"y": lambda: normal(4, DIM)},
    "mmd_squared": {"y": lambda: normal(4, DIM), "kernel": lambda: get("gaussian_kernel")},
    "NeighborMeasures": {k: L(0.5) for k in ("precision", "recall", "density", "coverage")},
    "neighbor_measures": {
        "real": lambda: normal(7, DIM),
        "samples": lambda: normal(8, DIM, seed=3),
        "k": L(2),
    },
    "expected_coverage": {"n_real": L(10), "n_samples": L(10), "k": L(2)},
    "random_directions": {"n_directions": L(4)},
    "sliced_wasserstein_2": {
        "directions": lambda: torch.nn.functional.normalize(normal(4, DIM), dim=-1)
    },
    "Extrapolation": {"limit": L(1.0), "slope": L(1.0)},
    "extrapolate": {"sizes": L((10, 20, 40)), "values": L((3.0, 2.0, 1.5))},
    "Scales": {
        "alpha_t": COMMON["t"],
        "sigma_t": COMMON["t"],
        "d_alpha_t": COMMON["t"],
        "d_sigma_t": COMMON["t"],
    },
    "Chain": {"beta": COMMON["t"], "alpha_step": COMMON["t"], "alpha_bar": COMMON["t"]},
    "beside": {"scale": COMMON["t"]},
    "jacobian_trace": {"field": lambda: gaussian_score},
    "jacobian_slice": {"field": lambda: gaussian_score},
    "langevin_step": {"z": COMMON["z"]},
    "Dynamics": {"drift": lambda: half_denoiser, "diffusion": L(None)},
    "euler_maruyama_step": {"dynamics": lambda: sde(), "z": COMMON["z"], **ON_TIMES},
    "simulate": {"dynamics": lambda: sde(), "generator": seeded},
    "log_likelihood": {
        "log_prob_end": lambda: lambda x: -x.square().sum(-1) / 2,
        "times": lambda: torch.tensor([0.2, 0.5, 0.9]),
    },
    "noise_log_prob": {"t": times_one(0.9)},
    "exponential_weights": {"h": times_one(0.5), "nodes": L((0.0, 0.5))},
    "midpoint_weights": {"h": times_one(0.5), "node": L(0.5)},
    **dict.fromkeys(
        (
            "euler_step",
            "heun_step",
            "dpm_solver_1_step",
            "dpm_solver_2_step",
            "dpm_solver_3_step",
            "DPMSolverMultistep.__call__",
            "UniPC.__call__",
        ),
        ON_TIMES,
    ),
    "ancestral_step": {**ON_TIMES, "generator": seeded},
    "ddim_step": {**ON_TIMES, "generator": seeded, "eta": L(0.5)},
    **{f"{wanted}_from_score": {"score": COMMON["eps"]} for wanted in WANTED},
    "LearnedSchedule": {"log_snr": lambda: make("MonotoneLogSNR")},
    "sample": {"generator": seeded, "step": stepper},
    "reflow_pairs": {"step": stepper},
    "churn_step": {**ON_TIMES, "churn": L(0.2), "generator": seeded},
    "AdaptiveWalk": {"n_evals": L(3)},
    "adaptive_sample": {"rtol": L(1e-2), "atol": L(1e-2)},
    "guidance_scale_from_multiplier": {"multiplier": L(2.0)},
    "classifier_guided": {"log_likelihood": lambda: lambda x, t: -x.square().sum(-1)},
    "autoguided": {"good": lambda: half_denoiser, "bad": lambda: half_denoiser},
    "limited": {"plain": lambda: half_denoiser, "t_min": L(0.2), "t_max": L(0.8)},
    "composed": {"conditionals": lambda: (half_denoiser,), "multipliers": L((2.0,))},
    "avoiding": {"avoided": lambda: half_denoiser},
    "guided_score": {"conditional": gaussian, "unconditional": PAIR["q"]},
    "tilted_gaussian": {
        "conditional": lambda: get("gaussians.Gaussian")(normal(DIM), 0.5 * torch.eye(DIM)),
        "unconditional": PAIR["q"],
    },
    "tilted_by_measurement": {
        "prior": lambda: make("GaussianMixture"),
        "matrix": lambda: normal(1, DIM),
        "y": lambda: normal(1),
        "noise_std": L(0.5),
    },
    "guided_ode_variance": {
        "conditional_var": lambda: torch.tensor([0.5, 0.2]),
        "unconditional_var": lambda: torch.tensor([1.0, 2.0]),
    },
    "Fleet": {
        "area": lambda: torch.tensor([0.25, 0.75]),
        "vulnerability": lambda: torch.tensor([0.5, 0.1]),
        "hits": L(2.0),
    },
    "Flown": {"hits": lambda: tokens(), "returned": lambda: tokens()[0] > 0},
    "fly": {"fleet": lambda: make("Fleet"), "n_planes": L(5)},
    "Factors": {
        "character": lambda: torch.tensor([0, 11, 35]),
        "family": lambda: torch.tensor([0, 2, 4]),
        "weight": lambda: torch.tensor([0, 1, 0]),
        "slant": lambda: torch.tensor([0.1, 0.0, -0.2]),
        "scale": lambda: torch.tensor([0.35, 0.4, 0.43]),
        "position": lambda: torch.tensor([[0.0, 0.01], [0.02, 0.0], [0.0, 0.0]]),
        "thickness": lambda: torch.tensor([0.0, 0.01, 0.02]),
    },
    "Glyphs": {"images": lambda: image(), "factors": lambda: make("Factors")},
    "glyphs": {"n": L(3), "size": L(8)},
    "draw_factors": {"n": L(3)},
    "render": {"factors": lambda: make("Factors"), "size": L(8)},
    "single_hit_vulnerability": {
        "holes": lambda: torch.tensor([0.6, 0.4]),
        "returned": lambda: torch.tensor(0.5),
        "area": lambda: torch.tensor([0.5, 0.5]),
    },
    "vulnerability": {
        "holes": lambda: torch.tensor([0.6, 0.4]),
        "returned": lambda: torch.tensor(0.5),
        "area": lambda: torch.tensor([0.5, 0.5]),
    },
    "TwoWay": {"n_inputs": L(DIM), "n_hidden": L(4)},
    "check_area": {"area": lambda: torch.tensor([0.5, 0.5])},
    "check_returned": {"returned": lambda: torch.tensor([0.5, 0.9])},
    "Vocabulary": {"text": L("abc")},
    "Vocabulary.encode": {"text": L("cab")},
    "Vocabulary.decode": {"tokens": symbols},
    "chunks": {"tokens": symbols, "length": L(2)},
    "log_prob": {"network": transformer, "tokens": tokens},
    "next_character_loss": {"network": transformer, "batch": lambda: (tokens(),)},
    "perplexity": {"nats_per_character": L(1.0)},
    "bits_per_character": {"nats_per_character": L(1.0)},
    "TextModel": {"network": transformer},
    "TextModel.next_probabilities": {"prefix": lambda: torch.tensor([0, 1])},
    "write": {"model": lambda: make("TextModel"), "n_characters": L(3)},
    "Progress": {"step": L(1), "loss": L(1.0), "seconds_left": L(1.0)},
    "TrainedModel": {"network": linear_network, "last": linear_network},
    "as_denoiser": {"network": lambda: make("MLP")},
    "update_average": {
        "average": linear_network,
        "network": linear_network,
        "decay": L(0.9),
        "step": L(3),
    },
    "learning_rate_at": {"step": L(1)},
    "train": {
        "network": linear_network,
        "loss": lambda: tiny_loss,
        "data": lambda: (normal(8, DIM),),
    },
    "probe_precision": {
        "network": linear_network,
        "loss": lambda: tiny_loss,
        "data": lambda: (normal(8, DIM),),
        "n_trials": L(1),
        "clock": lambda: itertools.count().__next__,
    },
    "Probe": {"dtype": L(None), "float32_seconds": L(1.0), "bfloat16_seconds": L(0.5)},
    "start": {"network": linear_network, "data": lambda: (normal(8, DIM),)},
    "Block": {"n_heads": L(2), "causal": L(True)},
    "Block.forward": {"h": lambda: normal(BATCH, 4, 8)},
    "rotate": {"x": lambda: normal(BATCH, 4, 8), "longest": L(4)},
    "Transformer": {
        "n_characters": L(3),
        "context": L(3),
        "width": L(8),
        "n_heads": L(2),
        "n_blocks": L(1),
    },
    "Transformer.forward": {"tokens": tokens},
    "Terms": {"rate": lambda: normal(BATCH, DIM), "distortion": lambda: normal(BATCH)},
    "VAE": {
        "likelihood": lambda: make("Bernoulli"),
        "n_dims": L(DIM),
        "width": L(8),
    },
    "VAE.encode": {"x": pixels},
    "VAE.forward": {"x": bits},
    "VAE.log_weights": {"x": bits, "n_importance": L(4)},
    "free_bits": {"rate": lambda: normal(BATCH, DIM).abs(), "floor": L(0.5)},
    "summarize": {"model": vae, "x": bits, "n_importance": L(4)},
    "mlp": {"n_inputs": L(2), "n_outputs": L(2)},
}


def sde() -> Any:
    return get("reverse_sde")(gaussian_score, make("Cosine"))


def saved() -> Path:
    path = scratch() / "tensors"
    get("save_tensors")(path, {"x": normal(2)})
    return path


STEP = {"t": times_one(0.7), "s": times_one(0.4)}
BOTH_ENDS = {
    "at_t": lambda: make("Cosine")(torch.tensor(0.7)),
    "at_s": lambda: make("Cosine")(torch.tensor(0.4)),
    "h": times_one(0.5),
}
GRID = lambda: torch.linspace(-6, 6, 121, dtype=torch.float64)  # noqa: E731
BELL = lambda: -GRID().square() / 2 - math.log(2 * math.pi) / 2  # noqa: E731

TABLE |= {
    "ask": {"function": lambda: half_denoiser, "t": times_one(0.5)},
    "dot": {"a": COMMON["x"], "b": COMMON["y"]},
    "require_counts": {"n_heads": L(4)},
    "require_shape": {"name": L("x"), "value": COMMON["x"], "like": COMMON["y"]},
    "step_ends": STEP,
    "combine": {
        "at_t": BOTH_ENDS["at_t"],
        "at_s": BOTH_ENDS["at_s"],
        "estimates": lambda: [normal(BATCH, DIM, seed=10)],
        "weights": lambda: torch.tensor([0.3]),
    },
    "hold": BOTH_ENDS,
    "hold_middle": BOTH_ENDS,
    "check_parameters": {
        "transform": lambda: make("Affine"),
        "u": COMMON["x"],
        "parameters": lambda: normal(BATCH, DIM, 2, seed=3),
    },
    "Fit": {"mean": L(0.0), "std": L(1.0), "divergence": L(0.0)},
    "gaussian_log_prob": {"mean": L(0.0), "std": L(1.0)},
    "line_kl": {"x": GRID, "log_a": BELL, "log_b": lambda: BELL() - 0.1},
    "forward_fit": {"x": GRID, "log_q": BELL},
    "reverse_fit": {"x": GRID, "log_q": BELL, "start": L((0.5, 1.5))},
    "require_points": {"mean": lambda: normal(DIM)},
    "gaussians.Gaussian.decomposed": {
        "mean": lambda: normal(DIM),
        "eigenvalues": lambda: torch.ones(DIM),
        "eigenvectors": lambda: torch.eye(DIM),
    },
    "zeroed": {"layer": linear_network},
}


LEVELS = {"t": lambda: torch.tensor([0.8, 1.5, 3.0]), "earlier": COMMON["t"]}

TABLE |= {
    "consistency_function": {
        "raw": lambda: half_denoiser,
        "t_min": L(0.01),
        "sigma_data": L(0.5),
    },
    "distillation_loss": {
        "student": lambda: half_denoiser,
        "target": lambda: half_denoiser,
        **LEVELS,
    },
    "consistency_training_loss": {
        "student": lambda: half_denoiser,
        "target": lambda: half_denoiser,
        **LEVELS,
    },
    "variance_preserving_mix": {"a": lambda: normal(BATCH, DIM), "b": COMMON["y"], "share": L(0.3)},
    "spherical_mix": {"a": lambda: normal(BATCH, DIM), "b": COMMON["y"], "share": L(0.3)},
    "encode": {"times": lambda: torch.tensor([0.1, 0.5, 0.9])},
    "renoise": {"step": stepper},
    "Rescaling": {"mean": lambda: normal(DIM), "std": L(torch.tensor(2.0))},
    "Rescaling.of": {},
    "Rescaling.apply": {},
    "Rescaling.undo": {},
    "Sent": {"rate": lambda: normal(2, BATCH), "distortion": lambda: normal(2, BATCH)},
    "progressive_code": {"log_snrs": lambda: torch.tensor([-3.0, 0.0, 1.0, 2.0])},
    "gaussian_rate": {"variances": lambda: torch.tensor([0.5, 2.0]), "distortion": L(1.0)},
    "dct_levels": {"images": image, "step": L(0.1)},
    "from_dct_levels": {"levels": lambda: torch.arange(-8, 8).reshape(1, 4, 4), "step": L(0.1)},
    "zlib_bits": {"levels": lambda: torch.arange(12).reshape(BATCH, 4)},
    "sample_consistency": {
        "f": lambda: half_denoiser,
        "levels": L((2.0, 0.5)),
        "t_min": L(0.01),
    },
}


# The common examples are enough for these.
COMMON_DO = """
Grammar.blank Grammar.entropy_rate sentences
LinearDenoiser.__call__ DenoisingChain.path DenoisingChain.sample Autoencoder Autoencoder.decode
Autoencoder.encode Autoencoder.error Autoencoder.sample noise_like optimal_coupling Pairs digits
to_levels snap_to_levels Bernoulli DiscretizedLogistic Categorical perturb transition posterior
step_kl prior_kl elbo_weight gaussian_reconstruction level_reconstruction Bound.total elbo
diagonal_log_prob reparameterize rate rate_estimate distortion Classifier.accuracy
Classifier.features Classifier.forward Classifier.judge Conditionals.sample
Autoregressive.log_prob Autoregressive.sample EnergyModel.energy EnergyModel.log_prob
EnergyModel.score EnergyModel.start energy.Settings GAN.generate GAN.logit GAN.noise GAN.sample
gan.Settings Coupling.forward Coupling.undo NormalizingFlow.log_prob NormalizingFlow.sample
NormalizingFlow.to_data NormalizingFlow.to_noise Affine Spline.n_parameters hutchinson
conditional_velocity marginal_velocity change_schedule gaussians.Gaussian.covariance
gaussians.Gaussian.dim gaussians.Gaussian.log_prob gaussians.Gaussian.noised
gaussians.Gaussian.posterior_covariance gaussians.Gaussian.posterior_mean
gaussians.Gaussian.sample gaussians.Gaussian.score Memorizer.posterior_mean Memorizer.sample
Diluted.log_prob Diluted.sample classifier_free ChainTerms.elbo MarkovianVAE.sample entropy
cross_entropy kl_divergence jensen_shannon log_acceptance metropolis_step langevin
annealed_langevin VELinear VELinear.__call__ VELinear.scales VELinear.time VELinear.time_at
MonotoneLogSNR MonotoneLogSNR.forward LearnedSchedule.__call__ LearnedSchedule.scales
LearnedSchedule.time LearnedSchedule.time_at resample LinearGaussian.log_prob
LinearGaussian.marginal LinearGaussian.posterior LinearGaussian.sample Inpainting.adjoint
Inpainting.apply Dense.apply Table.blank MaskRates.weight LinearMask LinearMask.__call__
CosineMask CosineMask.__call__ GaussianMixture.covariance GaussianMixture.dim
GaussianMixture.log_prob GaussianMixture.mean GaussianMixture.noised
GaussianMixture.posterior_covariance GaussianMixture.posterior_mean
GaussianMixture.responsibilities GaussianMixture.sample GaussianMixture.sample_with_component
GaussianMixture.score GaussianMixture.weights DPMSolverMultistep UniPC seeded Condition.dtype
require_one_time_each MLP.forward simple_weight min_snr_weight edm_weight edm_coefficients
PredictResidual PredictResidual.magnification PredictResidual.true PredictResidual.x_0_hat
wasserstein_2 uniform_times uniform_log_snr_times edm_times Scales.d_log_snr_t
Scales.diffusion_rate Scales.drift_rate Scales.log_snr_t Scales.snr_t Rectified Rectified.__call__
Rectified.scales Rectified.time Rectified.time_at Cosine Cosine.__call__ Cosine.scales Cosine.time
Cosine.time_at VPLinear VPLinear.__call__ VPLinear.scales VPLinear.time VPLinear.time_at VE
VE.__call__ VE.scales VE.time VE.time_at discrete_chain explicit_score_matching
implicit_score_matching sliced_score_matching denoising_score_matching rademacher_like
denoiser_score SubVP SubVP.__call__ SubVP.scales SubVP.time SubVP.time_at forward_sde reverse_sde
probability_flow_ode checked_times multiplier_from_guidance_scale rescaled TwoWay.forward
x_0_from_eps x_0_from_v x_0_from_velocity eps_from_x_0 eps_from_v eps_from_velocity v_from_x_0
v_from_eps v_from_velocity velocity_from_x_0 velocity_from_eps velocity_from_v score_from_x_0
score_from_eps score_from_v score_from_velocity PredictX0 PredictX0.magnification PredictX0.true
PredictX0.x_0_hat PredictEps PredictEps.magnification PredictEps.true PredictEps.x_0_hat PredictV
PredictV.magnification PredictV.true PredictV.x_0_hat PredictVelocity
PredictVelocity.magnification PredictVelocity.true PredictVelocity.x_0_hat PredictScore
PredictScore.magnification PredictScore.true PredictScore.x_0_hat Vocabulary.blank
TrainingSettings denoising_loss Transformer.blank Terms.elbo VAE.decode VAE.sample vae_loss
active_units Probe.speedup
"""
TABLE |= {name: {} for name in COMMON_DO.split()}
