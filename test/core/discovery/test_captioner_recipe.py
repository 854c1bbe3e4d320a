"""The captioner's recipe: its vision is the tower, its words are the captions' after the prompt."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from transformers import (
    BertTokenizer,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
)

from ovseg_ros.discovery.captioner import honour_memory_masks
from ovseg_ros.discovery.captioner_recipe import (
    PROMPT,
    BlipRecipe,
    blip_config,
    build_tokenizer,
    decode_loss,
    draw_regions,
    vision_state,
)
from ovseg_ros.robot_cell.objects import category_names
from ovseg_ros.training.frames import Batch, Frames

RECIPE = BlipRecipe(sizes=(64,), depth=2, width=64, layers=2, patches=8)
VISUAL = {"img_size": 64, "patch_size": 16, "embed_dim": 64, "depth": 2, "num_heads": 1}


@pytest.fixture(scope="module")
def tokenizer(frames: Frames) -> BertTokenizer:
    return build_tokenizer(frames)


@pytest.fixture(scope="module")
def vit() -> VisionTransformer:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        vit = VisionTransformer(num_classes=0, global_pool="", dynamic_img_size=True, **VISUAL)
        for parameter in vit.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return vit.eval()


@pytest.fixture(scope="module")
def model(tokenizer: BertTokenizer, vit: VisionTransformer) -> BlipForConditionalGeneration:
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        model = BlipForConditionalGeneration(blip_config(RECIPE, tokenizer))
        for parameter in model.text_decoder.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    model.vision_model.load_state_dict(vision_state(vit.state_dict()))
    honour_memory_masks(model)
    return model.eval()


class TestVision:
    @torch.inference_mode()
    def test_blips_vision_is_the_tower(
        self, model: BlipForConditionalGeneration, vit: VisionTransformer
    ):
        images = torch.randn(2, 3, 64, 64)
        found = model.vision_model(images).last_hidden_state
        torch.testing.assert_close(found, vit.forward_features(images), rtol=1e-5, atol=1e-5)

    def test_every_weight_has_its_place(
        self, model: BlipForConditionalGeneration, vit: VisionTransformer
    ):
        state = vision_state(vit.state_dict())
        assert len(state) == len(vit.state_dict())
        assert {key: value.shape for key, value in state.items()} == {
            key: value.shape for key, value in model.vision_model.state_dict().items()
        }


class TestTokenizer:
    def test_captions_survive(self, tokenizer: BertTokenizer, frames: Frames):
        for captions in frames.captions:
            for caption in captions:
                ids = tokenizer(caption).input_ids
                assert len(ids) == len(caption.split()) + 2  # a token is a word
                assert tokenizer.decode(ids, skip_special_tokens=True) == caption

    def test_unknown_words_are_spelled(self, tokenizer: BertTokenizer):
        ids = tokenizer("A zebra, Mug.").input_ids
        assert tokenizer.unk_token_id not in ids
        text = tokenizer.decode(ids, skip_special_tokens=True)
        assert text.replace(" ", "") == "azebra,mug."

    def test_it_lives_in_a_processor(self, tokenizer: BertTokenizer, tmp_path):
        BlipProcessor(BlipImageProcessor(), tokenizer).save_pretrained(tmp_path)
        loaded = BlipProcessor.from_pretrained(tmp_path).tokenizer
        assert loaded.get_vocab() == tokenizer.get_vocab()
        assert loaded("a red mug").input_ids == tokenizer("a red mug").input_ids
        assert loaded.all_special_tokens == tokenizer.all_special_tokens

    def test_marks_are_no_words(self, tokenizer: BertTokenizer):
        start = tokenizer.convert_tokens_to_ids("[DEC]")
        assert start != tokenizer.unk_token_id
        ids = [start, *tokenizer("a mug").input_ids]
        assert tokenizer.decode(ids, skip_special_tokens=True) == "a mug"


class TestLoss:
    captions = ("a red mug", "the white wall", "a table and a duck and a mug")

    @pytest.fixture
    def memory(self) -> torch.Tensor:
        return torch.randn(3, 7, 64, generator=torch.Generator().manual_seed(4))

    @torch.inference_mode()
    def test_it_is_the_mean_surprise_of_the_words_after_the_prompt(
        self,
        model: BlipForConditionalGeneration,
        tokenizer: BertTokenizer,
        memory: torch.Tensor,
    ):
        lengths, surprises = (6, 3, 4), []
        for row, (caption, length) in enumerate(zip(self.captions, lengths, strict=True)):
            words = tokenizer(f"{PROMPT} {caption}").input_ids
            words[0] = tokenizer.convert_tokens_to_ids("[DEC]")
            logits = model.text_decoder(
                input_ids=torch.tensor([words]),
                encoder_hidden_states=memory[row : row + 1, : 1 + length],
            ).logits[0]
            for place in range(4, len(words)):  # after [DEC] a picture of
                surprises.append(-logits[place - 1].log_softmax(-1)[words[place]])
        assert len(surprises) == 3 + 3 + 8 + 3  # and three ends
        seen = torch.arange(6) < torch.tensor(lengths)[:, None]
        loss = decode_loss(model, tokenizer, memory, seen, list(self.captions))
        torch.testing.assert_close(loss, torch.stack(surprises).mean(), rtol=1e-4, atol=1e-5)

    def test_gradients_reach_the_decoder_and_not_the_padding(
        self,
        model: BlipForConditionalGeneration,
        tokenizer: BertTokenizer,
        memory: torch.Tensor,
    ):
        memory.requires_grad_()
        seen = torch.arange(6) < torch.tensor([6, 3, 4])[:, None]
        decode_loss(model, tokenizer, memory, seen, list(self.captions)).backward()
        assert memory.grad is not None
        moved = memory.grad.abs().sum(-1) > 0
        assert moved[:, 0].all()  # CLS always counts
        assert moved[:, 1:].equal(seen)
        embedding = model.text_decoder.bert.embeddings.word_embeddings.weight
        assert embedding.grad is not None
        assert embedding.grad.isfinite().all()
        model.zero_grad()

    def test_long_captions_are_cut(
        self,
        model: BlipForConditionalGeneration,
        tokenizer: BertTokenizer,
        memory: torch.Tensor,
    ):
        seen = torch.ones(3, 6, dtype=torch.bool)
        loss = decode_loss(model, tokenizer, memory, seen, ["a mug and " * 40] * 3)
        assert loss.isfinite()


@pytest.fixture(scope="module")
def drawn(frames: Frames) -> tuple[Batch, torch.Tensor, torch.Tensor, list[str]]:
    """Regions of 80 views: view, patches, which of them count, captions."""
    generator = torch.Generator().manual_seed(6)
    batch = frames.crop(torch.arange(4).repeat(20), (48, 48), generator)
    return batch, *draw_regions(frames, batch, 8, BlipRecipe(patches=10), generator)


class TestRegions:
    def test_regions_are_distinct_patches_of_the_view(self, drawn):
        _, regions, seen, captions = drawn
        assert regions.shape == seen.shape
        assert len(captions) == len(regions) == 80
        assert regions.shape[1] == seen.sum(1).max() <= 10
        assert seen.any(1).all()
        assert len(set(seen.sum(1).tolist())) > 3  # ragged
        for row, mask in zip(regions, seen, strict=True):
            patches = row[mask].tolist()
            assert len(set(patches)) == len(patches)
            assert 0 <= min(patches) <= max(patches) < 36

    def test_captions_name_what_their_region_shows(self, drawn):
        batch, regions, seen, captions = drawn
        names = category_names()
        said = set()
        for row, caption in enumerate(captions):
            middles = batch.labels[row][4::8, 4::8].flatten()[regions[row][seen[row]]]
            shown = {names[label] for label in middles.tolist()}
            named = {name for name in names if name in caption.replace(",", " ").split()}
            assert named
            assert named <= shown
            counts = np.bincount(middles.numpy(), minlength=len(names))
            assert all(counts[names.index(name)] >= min(2, counts.max()) for name in named)
            biggest = names[int(counts.argmax())]
            assert biggest in named or len(shown) > 1
            said |= named
        assert said == {"wall", "table", "mug", "duck"}

    def test_the_same_generator_draws_the_same(self, frames: Frames):
        batch = frames.crop(torch.arange(4), (48, 48), torch.Generator().manual_seed(0))
        first, second = (
            draw_regions(frames, batch, 8, RECIPE, torch.Generator().manual_seed(9))
            for _ in range(2)
        )
        assert first[0].equal(second[0])
        assert first[2] == second[2]
