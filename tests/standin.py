"""A GPU that is not there: tensors of the CPU that say they are on `cuda:0`, and do not mix with those that do not.

All is computed, on the CPU; what a real card would refuse is an error here too: two devices in one operation, and numpy
on a tensor of the card. A number (a tensor without dimensions) of the CPU may be used on a card, but not by fused
optimisers and by `cat`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from accelerate.state import AcceleratorState, PartialState
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from syncdiff import device as devices

CARD = torch.device("cuda", 0)
FREE = ("aten::copy_", "aten::_to_copy", "aten::_local_scalar_dense", "aten::set_")  # from one device to another
STRICT = ("aten::_fused", "aten::cat", "aten::stack")
OF_CPU_INDICES = ("aten::index.", "aten::index_put", "aten::_index_put", "aten::_unsafe_index")


class Places(TorchDispatchMode):
    """Knows by their storages which tensors are on the card, and looks at every operation, backward passes too."""

    def __init__(self) -> None:
        super().__init__()
        self.storages: dict[int, Any] = {}  # kept, so that no address is used twice
        self.target: bool | None = None  # where results go, instead of where the arguments are

    def on_card(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self.storages

    def mark(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        self.storages[storage._cdata] = storage

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if self.target is None:
            self.compare(func.name(), given)
        before = {tensor.untyped_storage()._cdata for tensor in given}
        goal = any(map(self.on_card, given)) if self.target is None else self.target
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if goal and isinstance(tensor, Tensor) and tensor.untyped_storage()._cdata not in before:
                self.mark(tensor)
        return made

    def compare(self, name: str, given: list[Tensor]) -> None:
        if name.startswith(FREE):
            return
        if name.startswith(OF_CPU_INDICES):
            given = [tensor for tensor in given if tensor.dtype not in (torch.int64, torch.bool) or tensor is given[0]]
        arrays = [tensor for tensor in given if tensor.dim() or name.startswith(STRICT)]
        places = {self.on_card(tensor) for tensor in arrays}
        numbers_of_card = any(self.on_card(tensor) for tensor in given if not tensor.dim())
        if len(places) > 1 or (places == {False} and numbers_of_card):
            where = ", ".join("cuda:0" if self.on_card(tensor) else "cpu" for tensor in given)
            raise RuntimeError(f"{name}: two devices, {where}")


class Words(TorchFunctionMode):
    """Lets tensors say where they are, and understands `device=`."""

    def __init__(self, places: Places) -> None:
        super().__init__()
        self.places = places

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if func == Tensor.device.__get__:
            return CARD if self.places.on_card(args[0]) else devices.CPU
        if func == Tensor.is_cuda.__get__:
            return self.places.on_card(args[0])
        if func in (Tensor.to, Tensor.cpu, Tensor.cuda):
            return self.move(func, args, kwargs)
        if func in (Tensor.numpy, Tensor.__array__) and first is not None and self.places.on_card(first):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")
        if kwargs.get("device") is not None and func is not torch._C._nn._parse_to:
            with self.placing(goal := _is_card(kwargs["device"])):
                made = func(*args, **kwargs | {"device": "cpu"})
            if goal and func is torch.tensor:  # it copies where no mode looks
                self.places.mark(made)
            return made
        made = func(*args, **kwargs)
        if func in (Tensor.__deepcopy__, Tensor.new_tensor) and self.places.on_card(args[0]):
            self.places.mark(made)
        return made

    def move(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Tensor:
        tensor, *rest = args
        named = [word for word in (*rest, *kwargs.values()) if isinstance(word, str | torch.device | Tensor)]
        goal = self.places.on_card(tensor)
        for word in named:
            goal = self.places.on_card(word) if isinstance(word, Tensor) else _is_card(word)
        goal = {Tensor.cpu: False, Tensor.cuda: True}.get(func, goal)
        rest = [devices.CPU if isinstance(word, str | torch.device) else word for word in rest]
        kwargs = {name: devices.CPU if name == "device" else word for name, word in kwargs.items()}
        moved = tensor if func in (Tensor.cpu, Tensor.cuda) else Tensor.to(tensor, *rest, **kwargs)
        if self.places.on_card(moved) == goal:
            return moved
        with self.placing(goal):
            return moved.clone()

    @contextmanager
    def placing(self, goal: bool) -> Iterator[None]:
        before, self.places.target = self.places.target, goal
        try:
            yield
        finally:
            self.places.target = before


def _is_card(device: Any) -> bool:
    return torch.device(device).type == "cuda"


@contextmanager
def cuda_says(cards: int = 1, bf16: bool = True) -> Iterator[None]:
    """Let torch.cuda say that there are so many cards; nothing can be computed on them."""
    said = {
        "is_available": lambda: cards > 0,
        "device_count": lambda: cards,
        "set_device": lambda _: None,
        "current_device": lambda: 0,
        "device": lambda _: nullcontext(),
        "get_device_name": lambda _=None: "a stand-in",
        "get_device_capability": lambda _=None: (8, 0) if bf16 else (7, 5),
        "is_bf16_supported": lambda including_emulation=True: bf16 or including_emulation,
        "get_device_properties": lambda _=None: SimpleNamespace(name="a stand-in", total_memory=80 * 2**30),
        "manual_seed_all": lambda _: None,
    }
    with ExitStack() as stack:
        for name, answer in said.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, answer))
        stack.callback(devices._card_has_bf16.cache_clear)
        devices._card_has_bf16.cache_clear()
        yield


@contextmanager
def stand_in_card(cards: int = 1, bf16: bool = True) -> Iterator[Places]:
    """Cards on which all can be computed; tensors of the others say that they are on the first, too."""
    places = Places()
    _forget_accelerator()
    try:
        with cuda_says(cards, bf16), places, Words(places):
            yield places
    finally:
        _forget_accelerator()


def _forget_accelerator() -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    PartialState._reset_state()
