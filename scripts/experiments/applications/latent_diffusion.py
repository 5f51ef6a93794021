"""Is a diffusion in the codes of a VAE better than one in pixels that trains as long?"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
import torch
from torch import Tensor, nn

from experiments.applications._common import summed_up
from fromnoise import figures
from fromnoise.applications import Rescaling
from fromnoise.decoders import Gaussian
from fromnoise.denoising import as_denoiser, denoising_loss
from fromnoise.evaluation import Classifier, frechet_distance, train_classifier
from fromnoise.glyphs import glyphs
from fromnoise.networks import MLP, UNet
from fromnoise.samplers import heun_step, sample, uniform_times
from fromnoise.schedules import Rectified
from fromnoise.targets import PredictVelocity
from fromnoise.training import TrainingSettings, train
from fromnoise.vae import VAE, vae_loss

CHARACTERS = "0123456789"
UNITS = {"unit": 1.0, "small": 0.1, "large": 10.0}
SCHEDULE, TARGET = Rectified(), PredictVelocity()


@dataclass(frozen=True)
class Config:
    n_seeds: int = 3
    n_train: int = 2000
    n_test: int = 250
    n_for_judge: int = 1000
    n_latents: int = 16
    # A weak pull, as in published models: good copies matter, the prior comes from the diffusion.
    beta: float = 0.02
    vae_steps: int = 400
    latent_steps: int = 400
    # Chosen so that both take as long to train as the VAE and the diffusion in its codes together,
    # by the clock of one thread.
    mlp_steps: int = 500
    unet_steps: int = 100
    n_sampling_steps: int = 8
    judge_steps: int = 200
    n_shown: int = 14
    size: int = 16
    width: int = 128
    # Half the width of the digit model, and a smaller batch: otherwise it would see no step.
    channels: int = 8
    unet_batch: int = 16
    learning_rate: float = 3e-3


SIZES = {
    "full": Config(),
    "smoke": Config(
        n_seeds=2, n_train=16, n_test=8, n_for_judge=8, vae_steps=2, latent_steps=2, mlp_steps=2,
        unet_steps=1, n_sampling_steps=1, judge_steps=1, n_shown=2,
    ),
    # Four times the pixels, and time enough for each part to come near its end: equal steps and
    # equal batches in place of equal times. Only so can the diffusion in pixels show a lower floor.
    "gpu": Config(
        n_seeds=5, size=32, n_train=20_000, n_test=1000, n_for_judge=5000, n_latents=32, width=512,
        vae_steps=10_000, latent_steps=10_000, mlp_steps=10_000, unet_steps=10_000, channels=32,
        unet_batch=128, learning_rate=1e-3, n_sampling_steps=32, judge_steps=1000,
    ),
}  # fmt: skip


def run(config: Config, device: torch.device, workdir: Path) -> dict:
    generator = torch.Generator().manual_seed(0)
    counts = (config.n_train, config.n_test, config.n_for_judge)
    train_set, test, for_judge = (
        glyphs(n, generator, config.size, characters=CHARACTERS) for n in counts
    )
    judge = train_classifier(
        for_judge.images, for_judge.factors.character, n_steps=config.judge_steps
    )
    real = judge.judge(test.images)
    rows, pictures = [], {}
    for seed in range(config.n_seeds):
        row, images = one_seed(
            config, train_set.images, test.images, judge, real, seed, device, workdir
        )
        rows.append(row)
        if seed == 0:
            pictures = {
                name: tenths(found[: config.n_shown], config.size) for name, found in images.items()
            }
    n = len(real)
    return summed_up(rows) | {
        "floor": frechet_distance(judge.judge(train_set.images[:n]), real),
        "accuracy": judge.accuracy(test.images, test.factors.character),
        "pictures": pictures | {"real": tenths(test.images[: config.n_shown], config.size)},
    }


def one_seed(
    config: Config,
    x: Tensor,
    x_test: Tensor,
    judge: Classifier,
    real: Tensor,
    seed: int,
    device: torch.device,
    workdir: Path,
) -> tuple[dict, dict]:
    flat, flat_test = x.flatten(1), x_test.flatten(1)
    n, dim = len(x_test), config.n_latents

    def fit(name: str, network: nn.Module, loss, data: Tensor, steps: int, size: int) -> nn.Module:
        settings = TrainingSettings(
            n_steps=steps,
            batch_size=size,
            learning_rate=config.learning_rate,
            ema_decay=0.98,
            seed=seed,
        )
        folder = workdir / f"{name}{seed}"
        return train(network.to(device), loss, (data,), settings, folder=folder).network

    def diffusion(name: str, network: nn.Module, data: Tensor, steps: int, size: int = 128):
        trained = fit(name, network, denoising_loss(SCHEDULE, TARGET), data, steps, size)
        generator = torch.Generator().manual_seed(seed)
        x_1 = torch.randn((n, *data.shape[1:]), generator=generator)
        times = uniform_times(config.n_sampling_steps)
        ask = as_denoiser(trained, SCHEDULE, TARGET)
        return sample(ask, SCHEDULE, x_1.to(device), times, heun_step).cpu()

    vae = VAE(Gaussian(0.3), dim, config.size**2, config.width, seed=seed)
    vae = fit("vae", vae, vae_loss(config.beta), flat, config.vae_steps, 128).cpu()
    with torch.no_grad():
        codes = vae.encode(flat)[0]
        scale = Rescaling.of(codes)
        copies = paint(vae, vae.encode(flat_test)[0])
        drawn = {
            "copies": copies,
            "prior": paint(vae, noise_like_codes(n, dim, seed)),
        }
    for name, unit in UNITS.items():
        # The same autoencoder in other units: codes times a number, the decoder divides by it.
        inner = diffusion(
            name, MLP(dim, config.width, seed=seed), unit * scale.apply(codes), config.latent_steps
        )
        with torch.no_grad():
            drawn[name] = paint(vae, scale.undo(inner / unit))
    drawn["mlp"] = diffusion(
        "mlp", MLP(config.size**2, config.width, seed=seed), flat, config.mlp_steps
    )
    unet = UNet(config.size, config.channels, multipliers=(1, 2, 2), seed=seed)
    drawn["unet"] = diffusion("unet", unet, x, config.unet_steps, config.unet_batch)
    shape = (-1, 1, config.size, config.size)
    row: dict = {
        name: frechet_distance(judge.judge(found.reshape(shape).clamp(-1, 1)), real)
        for name, found in drawn.items()
    }
    row["copy_error"] = float((copies - flat_test).square().mean().sqrt())
    row["std"] = float(scale.std)
    for name in ("small", "large"):
        row[f"cost_{name}"] = row[name] / row["unit"]
    return row, drawn


def paint(vae: nn.Module, z: Tensor) -> Tensor:
    return vae.likelihood.mean(vae.decode(z))


def noise_like_codes(n: int, dim: int, seed: int) -> Tensor:
    return torch.randn((n, dim), generator=torch.Generator().manual_seed(seed))


def tenths(images: Tensor, size: int) -> list:
    """Pixels in steps of a tenth of the way from paper to ink."""
    return ((images.reshape(-1, size, size).clamp(-1, 1) + 1) * 5).round().int().tolist()


def draw(results: dict) -> matplotlib.figure.Figure:
    rows = (
        ("real", "data", "real"),
        ("copies", "model", "copies by the VAE"),
        ("unit", "model", "diffusion in the codes"),
        ("small", "broken", "the same, codes ten times smaller"),
        ("large", "broken", "the same, codes ten times larger"),
        ("mlp", "model", "diffusion in pixels, MLP"),
        ("unet", "model", "diffusion in pixels, U-Net"),
    )
    figure, axes = figures.figure(6.0, nrows=len(rows), sharex=False)
    for ax, (name, role, text) in zip(axes, rows, strict=True):
        figures.image_grid(ax, results["pictures"][name], levels=(0, 10), gap=2, role=role)
        figures.panel_label(ax, text, role)
    return figure
