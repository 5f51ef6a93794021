"""Digits as the package draws them where the widget would: same network, noise and steps."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from book import models, node
from experiments._flagship import NULL, SCHEDULE, TARGET, load_network
from fromnoise import samplers
from fromnoise.denoising import as_denoiser
from fromnoise.guidance import classifier_free
from fromnoise.samplers import ancestral_step, euler_step, heun_step, sample, uniform_times

ROOT = Path(__file__).resolve().parents[2]
CALL = Path(__file__).with_name("call.mjs")
N = 16
PLAIN = {
    "asked": "each",
    "guidance": 0,
    "steps": 4,
    "sampler": "heun",
    "seed": 5,
    "timeless": False,
    "cut": False,
}
STEPS = {"heun": heun_step, "euler": euler_step, "ancestral": ancestral_step}


def walk(monkeypatch: Any, state: dict) -> Tensor:
    """All states on the way, for one state of the widget's controls."""
    network = load_network(models.MODELS["digits"].path(ROOT))
    network.skip_connections = not state["cut"]
    network.condition.time_embedding = not state["timeless"]
    n = N * 64 * (state["steps"] + 1)
    asked = {"module": "maths/random.mjs", "calls": [["normals", n, state["seed"]]]}
    (drawn,) = node.run(CALL, asked, ROOT)
    noises = iter(torch.tensor(drawn, dtype=torch.float32).reshape(-1, N, 1, 8, 8))
    monkeypatch.setattr(samplers, "noise_like", lambda x, _: next(noises))
    null = torch.full((N,), NULL)
    label = {"each": torch.arange(N) % 10, "none": null}.get(state["asked"])
    label = torch.full((N,), int(state["asked"])) if label is None else label
    ask = partial(as_denoiser, network, SCHEDULE, TARGET)
    denoiser = classifier_free(ask(label), ask(null), float(state["guidance"]))
    times, step = uniform_times(state["steps"]), STEPS[state["sampler"]]
    return sample(denoiser, SCHEDULE, next(noises), times, step, return_path=True)
