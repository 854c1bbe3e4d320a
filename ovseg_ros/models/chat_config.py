"""Options of chat models; nothing here needs a model's library."""

from __future__ import annotations

from dataclasses import dataclass

from ovseg_ros.config import Config, option


@dataclass(frozen=True, kw_only=True)
class ChatConfig(Config):
    """Which chat model answers, and how it is reached and sampled."""

    backend: str = option(
        "transformers",
        "transformers (weights below, on this machine) or openai (an endpoint that speaks so)",
        choices=("transformers", "openai"),
    )
    weights: str = option(
        "meta-llama/Llama-2-7b-chat-hf",
        "folder or public name of a transformers chat model",
        kind="weights",
    )
    address: str = option(
        "", "endpoint, e.g. http://localhost:8000/v1; $OPENAI_BASE_URL where empty"
    )
    model: str = option("", "the endpoint's name of the model")
    key_variable: str = option(
        "OPENAI_API_KEY",
        "environment variable that holds the endpoint's key",
    )
    max_tokens: int = option(64, "longest answer in tokens", low=1, high=4096)
    temperature: float = option(
        0.0, "of the sampling; 0: the likeliest answer (AutoSeg's run: 1.0)", low=0.0, high=10.0
    )
    top_p: float = option(
        1.0, "nucleus of the sampling, where it samples (AutoSeg's run: 0.9)", low=1e-3, high=1.0
    )
    seed: int = option(0, "of the sampling; a question has one answer", low=0)
    timeout_s: float = option(60.0, "patience with one request", low=0.01, high=3600.0)
    retries: int = option(4, "further tries where the endpoint is busy or away", low=0, high=100)
    retry_s: float = option(1.0, "wait before the second try; doubles", low=0.0, high=600.0)
