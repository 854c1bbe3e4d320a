"""The text tower against transformers' CLIP."""

from __future__ import annotations

import torch
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from ovseg_ros.models.tokenizer import ClipTokenizer
from ovseg_ros.segmenters.xdecoder.model import XDecoder
from ovseg_ros.segmenters.xdecoder.text_tower import TextTower

NAMES = {
    "token_embedding.": "text_model.embeddings.token_embedding.",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "resblocks.": "text_model.encoder.layers.",
    "ln_final.": "text_model.final_layer_norm.",
    "projection.": "text_projection.",
    ".attn.out_proj.": ".self_attn.out_proj.",
    ".ln_1.": ".layer_norm1.",
    ".ln_2.": ".layer_norm2.",
    ".mlp.c_fc.": ".mlp.fc1.",
    ".mlp.c_proj.": ".mlp.fc2.",
}


def theirs(tower: TextTower) -> CLIPTextModelWithProjection:
    """Return transformers' CLIP text tower with our weights."""
    width = tower.token_embedding.embedding_dim
    clip = CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=tower.token_embedding.num_embeddings,
            hidden_size=width,
            intermediate_size=4 * width,
            projection_dim=width,
            num_hidden_layers=len(tower.resblocks),
            num_attention_heads=tower.resblocks[0].attn.num_heads,
            max_position_embeddings=len(tower.positional_embedding),
            layer_norm_eps=1e-12,
            hidden_act="quick_gelu",
            eos_token_id=tower.token_embedding.num_embeddings - 1,
            bos_token_id=1,
            pad_token_id=0,
        )
    )
    state = {}
    for key, value in tower.state_dict().items():
        for ours, other in NAMES.items():
            if ours.startswith(".") or key.startswith(ours):
                key = key.replace(ours, other)
        if ".attn.in_proj_" in key:
            for part, piece in zip("qkv", value.chunk(3), strict=True):
                state[key.replace("attn.in_proj_", f"self_attn.{part}_proj.")] = piece
        else:
            state[key] = value
    missing, unexpected = clip.load_state_dict(state, strict=False)
    assert not unexpected
    assert all("position_ids" in key for key in missing)
    return clip.eval()


@torch.no_grad()
def test_it_is_clips(model: XDecoder):
    tower = model.text
    end = tower.token_embedding.num_embeddings - 1
    ids = torch.randint(2, end, (5, 12), generator=torch.Generator().manual_seed(0))
    for row, length in enumerate((1, 4, 7, 11, 5)):
        ids[row, length], ids[row, length + 1 :] = end, 0
    ids[4, 7:] = end  # padded with end marks as the published tokenizer does: the first one counts
    wanted = theirs(tower)(input_ids=ids).text_embeds
    torch.testing.assert_close(tower(ids), wanted, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_padding_does_not_matter(model: XDecoder):
    ids = torch.tensor([[1, 20, 30, 299] + [0] * 8])
    padded = ids.clone()
    padded[:, 4:] = 299
    torch.testing.assert_close(model.text(ids), model.text(padded))
    torch.testing.assert_close(model.text(ids), model.text(ids[:, :4]), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_only_what_stands_before_the_last_end_mark_is_read(model: XDecoder):
    lengths: list[int] = []
    hook = model.text.resblocks[0].register_forward_pre_hook(
        lambda _, args: lengths.append(args[0].shape[1])
    )
    ids = torch.zeros(3, 12, dtype=torch.int64)
    for row, words in enumerate((2, 5, 3)):
        ids[row, : words + 1] = torch.arange(1, words + 2)
        ids[row, words + 1] = 299
    short = model.text(ids)
    assert lengths == [7]
    ids[0, 8:] = 299  # a later mark of another text's padding is no end
    torch.testing.assert_close(model.text(ids)[1:], short[1:], rtol=1e-5, atol=1e-6)
    hook.remove()


def test_published_prompts_fit():
    ids = ClipTokenizer()(["a photo of a traffic cone."])
    assert ids.shape == (1, 77)
    assert ids.max() == 49407
    assert ids[0, 0] == 49406
