"""Which device the networks run on."""

import torch

from syncdiff.errors import UserError


def choose_device(wanted: str) -> torch.device:
    """Resolve the config's `device`: `auto` is a CUDA GPU where there is one, else the CPU.

    Raises:
        UserError: a GPU is asked for and there is none.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("config: device: no CUDA GPU on this machine; set device: cpu or device: auto")
    device = torch.device(wanted)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device
