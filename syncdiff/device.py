"""Which device the networks run on, and in which precision they compute there: decided here, for every stage.

What is said of CUDA holds for AMD's cards too, which torch shows under that name.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from syncdiff.config import known_device
from syncdiff.errors import UserError
from syncdiff.pipeline.cards import take_card
from syncdiff.pipeline.files import short_message

log = logging.getLogger(__name__)

CPU = torch.device("cpu")


def choose_device(wanted: str = "auto") -> torch.device:
    """Resolve a wanted device: `auto` is a CUDA GPU where there is one, else the CPU.

    Of processes that share a training, each has the GPU of its own number, so that an index cannot be asked for.

    Args:
        wanted: auto, cpu, cuda or cuda:N.

    Returns:
        `cpu`, or `cuda:N`, which is then torch's current device too.

    Raises:
        UserError: another word, no GPU, not that one, too few for the processes, or one that does not compute.
    """
    known_device(wanted)
    take_card(wanted)
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return CPU
    if not torch.cuda.is_available():
        raise UserError(f"device: {wanted}: torch finds no CUDA GPU on this machine; say cpu or auto")
    device = torch.device("cuda", _index(wanted))
    try:
        torch.cuda.set_device(device)
        torch.ones(1, device=device).add_(1).item()  # an old card, or a busy one, says no only when it must compute
    except Exception as error:
        raise UserError(f"device: {device} cannot be used ({short_message(error)}); say another one, or cpu") from None
    return device


def _index(wanted: str) -> int:
    """Return the number of the GPU to use: that which is named, else that of the process on its machine."""
    n_cards, processes = torch.cuda.device_count(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if processes > n_cards:
        raise UserError(
            f"device: {processes} processes and {n_cards} CUDA GPUs on this machine; set train.processes to {n_cards}"
        )
    if processes > 1 and wanted not in ("auto", "cuda"):
        raise UserError(f"device: {wanted} is one GPU for {processes} processes; say cuda, and each has its own")
    index = int(wanted.partition(":")[2] or os.environ.get("LOCAL_RANK", "0"))
    if index >= n_cards:
        last = f"cuda:0 to cuda:{n_cards - 1}" if n_cards > 1 else "cuda:0 alone"
        raise UserError(f"device: cuda:{index}: this machine has {last}; say one that is there, or auto")
    return index


@contextmanager
def autocast(mixed_precision: str, device: torch.device) -> Iterator[None]:
    """Let torch compute in the config's `mixed_precision`; in bf16 on a CPU without its fused attention.

    There that attention's backward pass took twelve times as long as in fp32 (torch 2.13), a quarter of a demo's step.
    What is not in bf16 is in whole fp32: see `full_fp32`.
    """
    bf16 = use_bf16(mixed_precision, device)
    attention = sdpa_kernel(SDPBackend.MATH) if bf16 and device.type == "cpu" else nullcontext()
    with full_fp32(), torch.autocast(device.type, torch.bfloat16, enabled=bf16), attention:
        yield


@contextmanager
def full_fp32() -> Iterator[None]:
    """Let no GPU round fp32 to TF32's ten bits, as cuDNN's convolutions do by default; restored afterwards.

    The third digit of a score changed by it, and features would depend on the card.
    """
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, False
    try:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    finally:
        matmul.allow_tf32 = before


def use_bf16(mixed_precision: str, device: torch.device) -> bool:
    """Resolve `auto`: bf16 where the GPU or the CPU has units for it; fp32 on others, which would only imitate bf16."""
    if mixed_precision != "auto":
        return mixed_precision == "bf16"
    if device.type == "cuda":
        return _card_has_bf16(device)
    units = torch.cpu.get_capabilities()
    return bool(units.get("avx512_bf16") or units.get("amx_bf16"))


@cache
def _card_has_bf16(device: torch.device) -> bool:
    with torch.cuda.device(device):
        has = torch.cuda.is_bf16_supported(including_emulation=False)
    if not has:
        card = torch.cuda.get_device_name(device)
        log.warning("%s has no units for bf16: mixed_precision auto is fp32 here", card)
    return has
