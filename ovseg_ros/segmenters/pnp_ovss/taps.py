"""Reads cross-attention and its gradient out of a model that was not made to give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class AttentionTaps:
    """Hooks on cross-attention modules, while the ``with`` block runs.

    A module must return ``(context, probabilities)`` and take the text's hidden states as its first
    argument, as those of transformers do with eager attention. The graph of gradients begins at the
    first module that is tapped, so that neither the image encoder nor earlier blocks keep
    activations; parameters need no gradients.

    Attributes:
        maps: Attention probabilities of each module, (N, heads, L, P) with gradients enabled.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        """Name the modules, in the order in which the model runs them."""
        self._modules = list(modules)
        self._handles: list[Any] = []
        self.maps: list[Tensor] = []

    def __enter__(self) -> AttentionTaps:
        """Place the hooks."""
        self.maps = []
        self._handles = [self._modules[0].register_forward_pre_hook(_open_graph)]
        self._handles += [module.register_forward_hook(self._keep) for module in self._modules]
        return self

    def __exit__(self, *error: object) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()

    def gradients(self, score: Tensor) -> tuple[Tensor, ...]:
        """Return the gradient of a sum of scores with respect to every map."""
        if len(self.maps) != len(self._modules):
            raise ValueError(f"expected {len(self._modules)} attentions, got {len(self.maps)}")
        return torch.autograd.grad(score.sum(), self.maps)

    def _keep(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self.maps.append(output[1])


def _open_graph(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (inputs[0].detach().requires_grad_(), *inputs[1:])
