"""Which device the networks run on, and in which precision they compute there."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from syncdiff.cards import take_card
from syncdiff.errors import UserError


def choose_device(wanted: str) -> torch.device:
    """Resolve the config's `device`: `auto` is a CUDA GPU where there is one, else the CPU.

    Raises:
        UserError: a GPU is asked for and there is none.
    """
    take_card(wanted)
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("config: device: no CUDA GPU on this machine; set device: cpu or device: auto")
    device = torch.device(wanted)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


@contextmanager
def arithmetic(mixed_precision: str, device: torch.device) -> Iterator[None]:
    """Let torch compute in the config's `mixed_precision`; in bf16 on a CPU without its fused attention.

    There that attention's backward pass took twelve times as long as in fp32 (torch 2.13), a quarter of a demo's step.
    """
    bf16 = in_bf16(mixed_precision, device)
    attention = sdpa_kernel(SDPBackend.MATH) if bf16 and device.type == "cpu" else nullcontext()
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16), attention:
        yield


def in_bf16(mixed_precision: str, device: torch.device) -> bool:
    """Resolve `auto`: bf16 on a GPU, and on a CPU with units for it; fp32 on others, which would only imitate bf16."""
    if mixed_precision != "auto":
        return mixed_precision == "bf16"
    units = torch.cpu.get_capabilities()
    return bool(device.type == "cuda" or units.get("avx512_bf16") or units.get("amx_bf16"))
