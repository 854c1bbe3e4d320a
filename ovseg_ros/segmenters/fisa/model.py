"""FISA: CLIP with mask tokens that read text, then the image (arXiv 2409.16278)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovseg_ros.segmenters.fisa.adaptation import DistributionAdapter, Lora, SemanticExtraction
from ovseg_ros.segmenters.fisa.attention import attend, visible_tokens
from ovseg_ros.segmenters.fisa.config import Adaptation
from ovseg_ros.segmenters.fisa.towers import Block, Tower, show_tower

SURE = 20.0
"""Logit of a pixel that is certainly in a mask, and, negative, certainly not."""

LARGEST_SCALE = 100.0
"""CLIP never multiplies cosines by more."""


class Classifier(nn.Module):
    """Describes masks: one token for each of them goes through CLIP beside the image's own tokens.

    The image's tokens never look at mask tokens, so the image goes through CLIP once, and all masks
    share its keys and values in one attention per layer.
    """

    def __init__(self, clip: nn.Module, adaptation: Adaptation, text_width: int) -> None:
        """Add an adaptation, untrained, to a CLIP.

        Args:
            clip: A model of open_clip; only its ``visual`` is used here.
            adaptation: What is added.
            text_width: Width D of the class text.
        """
        super().__init__()
        self.clip, self.config = clip, adaptation
        tower = self.tower
        width, depth = tower.width, len(tower.blocks)
        self.seve = nn.ModuleList(
            SemanticExtraction(
                width, text_width, adaptation.seve_width, residual=adaptation.seve_residual
            )
            for _ in range((1 if adaptation.seve_shared else depth) if adaptation.seve else 0)
        )
        self.queries = nn.ModuleList(
            _copy(*block.query()) for block in tower.blocks if adaptation.query != "none"
        )
        self.lora = nn.ModuleList(
            Lora(width, adaptation.lora) for _ in tower.blocks if adaptation.lora
        )
        self.adapter = DistributionAdapter(adaptation.adapter)

    @property
    def tower(self) -> Tower:
        """CLIP's vision tower in parts."""
        return show_tower(self.clip.visual)  # type: ignore[arg-type]

    def forward(self, images: Tensor, masks: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Describe masks.

        Args:
            images: What CLIP reads, (B, 3, H, W), normalised.
            masks: Mask logits of M proposals, (B, M, h, w), on the same canvas.
            text: Unit class text of the vocabulary, [TGT] in the paper, (K, D).

        Returns:
            Unit vectors of the masks in the space of the text, (B, M, D) float32, and adapted masks
            (B, M, h, w).
        """
        return self.describe(self.tower.patches(images), masks, text)

    def describe(self, patches: Tensor, masks: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Describe masks on CLIP's patches (B, C, h, w); else as :meth:`forward`."""
        masks = self.adapter(masks.to(patches.dtype))  # type: ignore[operator]
        tower = self.tower
        image = tower.embed(patches)  # (B, 1 + N, C)
        visible = visible_tokens(masks, (patches.shape[2], patches.shape[3]))  # (B, M, 1 + N)
        tokens = image[:, :1].expand(-1, masks.shape[1], -1)  # (B, M, C)
        read = [part.read(text.to(image.dtype)) for part in self.seve]  # type: ignore[operator]
        for number, block in enumerate(tower.blocks):
            semantic = None
            if read:
                part = number % len(read)  # shared: always the first
                semantic = (self.seve[part], *read[part])
            last = number == len(tower.blocks) - 1
            image, tokens = self._layer(number, block, image, tokens, visible, semantic, last=last)
        vectors = tower.finish(tokens)
        return F.normalize(vectors.to(_at_least_single(vectors)), dim=-1), masks

    def _layer(
        self,
        number: int,
        block: Block,
        image: Tensor,
        tokens: Tensor,
        visible: Tensor,
        semantic: tuple[nn.Module, Tensor, Tensor] | None,
        *,
        last: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return image tokens and mask tokens after a layer (Eq. 1 and 2).

        After the last one nobody reads the image: its tokens stay as they came.
        """
        lora = self.lora[number] if self.lora else None
        y, z = block.normalise(image), block.normalise(tokens)
        query, key, value = block.project(y)
        if lora is not None:
            query, key, value = (x + lora(y, k) for k, x in enumerate((query, key, value)))
        if self.queries and self.config.query == "shared":
            query = self.queries[number](y)
        if semantic is not None:
            extract, keys, values = semantic
            z = extract(z, keys, values)
        asked = self.queries[number](z) if self.queries else F.linear(z, *block.query())
        if lora is not None:
            asked = asked + lora(z, 0)

        def close(x: Tensor, attended: Tensor) -> Tensor:
            output = block.output(attended)
            return block.add(x, output if lora is None else output + lora(attended, 3))

        tokens = close(tokens, attend(asked, key, value, block.heads, visible))
        if last:
            return image, tokens
        return close(image, attend(query, key, value, block.heads)), tokens

    def match(self, vectors: Tensor, text: Tensor) -> Tensor:
        """Return logits (B, M, K) of unit vectors (B, M, D) and unit text (K, D).

        Cosines are multiplied by what CLIP learned: 100 in OpenAI's models, MaskCLIP's 1 / 0.01;
        a small CLIP has a milder one.
        """
        scale = self.clip.logit_scale.detach().to(vectors.dtype).exp()  # type: ignore[operator,union-attr]
        return scale.clamp(max=LARGEST_SCALE) * vectors @ text.to(vectors.dtype).T

    def adapted(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the added parameters by name, without CLIP's own."""
        for name, parameter in self.named_parameters():
            if not name.startswith("clip."):
                yield name, parameter

    def freeze(self) -> None:
        """Let the added parameters, and CLIP's own as far as they are tuned, learn.

        The projection of patches is never tuned: it is where fine-tuned transformers get unstable.
        """
        self.clip.requires_grad_(False)
        self.clip.visual.requires_grad_("clip" in self.config.tuned)  # type: ignore[operator,union-attr]
        self.tower.embedding.requires_grad_(False)
        text = "text" in self.config.tuned
        for name, parameter in self.clip.named_parameters():
            if not name.startswith("visual.") and not name.startswith("logit_"):
                parameter.requires_grad_(text)


class Fisa(nn.Module):
    """A mask generator and a mask classifier.

    Attributes:
        generator: Images in 0..255, (B, 3, H, W), to mask logits (B, M, h, w).
        classifier: Masks to names.
    """

    def __init__(self, generator: nn.Module, classifier: Classifier) -> None:
        """Put them together; nothing is trained but what the adaptation says."""
        super().__init__()
        self.generator, self.classifier = generator, classifier
        classifier.freeze()
        generator.requires_grad_("generator" in classifier.config.tuned)

    def trained(self) -> dict[str, nn.Parameter]:
        """Return the parameters that are trained, by name: what a checkpoint holds."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}


def _at_least_single(x: Tensor) -> torch.dtype:
    """Return float32, or float64 for what is float64 already."""
    return torch.promote_types(x.dtype, torch.float32)


def _copy(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Return a projection that starts as another one."""
    options: dict[str, Any] = {"device": weight.device, "dtype": weight.dtype}
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, **options)
    with torch.no_grad():
        linear.weight.copy_(weight)
        if bias is not None:
            linear.bias.copy_(bias)
    return linear
