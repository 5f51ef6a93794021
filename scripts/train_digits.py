"""Train the digit model in one process, or in several under torchrun; all get the same model.

python scripts/train_digits.py
python scripts/train_digits.py --data fashion_mnist --steps 20000
torchrun --standalone --nproc-per-node 2 scripts/train_digits.py
"""

import argparse
import os
from pathlib import Path

import torch
import torch.distributed as dist

from fromnoise.datasets import digits, fashion_mnist, mnist
from fromnoise.denoising import denoising_loss
from fromnoise.distributed import is_lead, n_processes
from fromnoise.downloads import DownloadError
from fromnoise.networks import UNet
from fromnoise.precision import probe_precision
from fromnoise.schedules import Rectified
from fromnoise.targets import PredictVelocity
from fromnoise.training import TrainingSettings, train

SETS = {"digits": digits, "mnist": mnist, "fashion_mnist": fashion_mnist}


def device_of_this_process() -> torch.device:
    """One accelerator per process where the machine has them."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


def main(arguments: list[str] | None = None) -> None:
    """Train, say how it goes, and leave the averaged weights in a file if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=SETS, default="digits", help="MNIST's are fetched once")
    parser.add_argument("--channels", type=int, default=32, help="of the network's finest level")
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--batch", type=int, default=128, help="images per step, of all processes")
    parser.add_argument("--out", type=Path, help="file for the weights of the averaged network")
    parser.add_argument(
        "--checkpoints", type=Path, help="folder to go on from after a stop; all must see it"
    )
    parser.add_argument(
        "--probe", action="store_true", help="say whether bfloat16 would pay, and stop"
    )
    options = parser.parse_args(arguments)

    try:
        data = tuple(SETS[options.data]().train)
    except DownloadError as error:
        parser.exit(1, f"{error}\n")
    size = data[0].shape[-1]
    # A level more for 28 pixels: attention then looks at 7 x 7 places, as few as can be.
    levels = (1, 2) if size < 16 else (1, 2, 2)
    device = device_of_this_process()
    if "RANK" in os.environ:  # torchrun started this process
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    network = UNet(size, options.channels, n_classes=10, multipliers=levels, dropout=0.1).to(device)
    loss = denoising_loss(Rectified(), PredictVelocity(), label_dropout=0.1, null_label=10)
    settings = TrainingSettings(n_steps=options.steps, batch_size=options.batch)
    if options.probe:
        found = probe_precision(network, loss, data, settings)
        choice = "float32" if found.dtype is None else "bfloat16"
        print(f"a step under bfloat16 is {found.speedup:.2f} times as fast: use {choice}")
        return

    def tell(progress: object) -> None:
        if is_lead():
            print(f"{n_processes()} process(es): {progress}", end="\r", flush=True)

    trained = train(network, loss, data, settings, folder=options.checkpoints, progress=tell)
    if is_lead():
        print(f"\nmean loss {trained.records[-1]['loss']:.6f}")
        if options.out is not None:
            torch.save(trained.network.state_dict(), options.out)
    if "RANK" in os.environ:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
