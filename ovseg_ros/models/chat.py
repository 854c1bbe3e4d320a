"""Chat models that answer one question: any of transformers', or an OpenAI-compatible endpoint."""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch

from ovseg_ros.models.chat_config import ChatConfig
from ovseg_ros.models.deadline import Deadline
from ovseg_ros.models.pretrained import load_pretrained

_MAX_REPLY_BYTES = 1 << 22
"""4 MiB; the longest answer that may be asked for has about 20 kB."""

_MAX_ERROR_BYTES = 1 << 14


class Chat(Protocol):
    """Answers questions, each for itself."""

    name: str

    def reply(self, question: str) -> str:
        """Return the answer to one user turn; the same for the same question.

        Raises:
            ConnectionError: if the model cannot be reached.
        """
        ...


Turns = Sequence[tuple[str, str]]
"""Questions and the answers to them that a model is shown before every question."""


def build_chat(
    config: ChatConfig,
    *,
    device: str = "auto",
    dtype: str = "auto",
    shown: Turns = (),
    schema: Mapping[str, Any] | None = None,
) -> Chat:
    """Build the chat model a configuration names; weights are loaded with the first question.

    Args:
        config: Which one.
        device: auto, cpu, cuda or cuda:N, for weights on this machine.
        dtype: auto, float32, bfloat16 or float16, likewise.
        shown: Examples, as if they had been asked and answered before.
        schema: JSON schema that an endpoint is asked to keep its answers to, if it can.
    """
    if config.backend == "openai":
        return EndpointChat(config, shown=shown, schema=schema)
    return TransformersChat(config, device=device, dtype=dtype, shown=shown)


def _messages(shown: Turns, question: str) -> list[dict[str, str]]:
    turns = [
        {"role": role, "content": text}
        for turn in shown
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]
    return [*turns, {"role": "user", "content": question}]


class TransformersChat:
    """A causal language model with a chat template."""

    def __init__(
        self, config: ChatConfig, *, device: str = "auto", dtype: str = "auto", shown: Turns = ()
    ) -> None:
        """Remember what to load; see :func:`build_chat`."""
        self.name = config.weights + sampling_name(config)
        self._config, self._shown = config, shown
        self._device, self._dtype = device, dtype
        self._loaded: tuple[Any, Any] | None = None

    @torch.inference_mode()
    def reply(self, question: str) -> str:
        """Return the answer; see ``Chat.reply``.

        Raises:
            FileNotFoundError: if the weights cannot be had.
            ValueError: if the model has no chat template.
        """
        tokenizer, model = self._load()
        inputs = tokenizer.apply_chat_template(
            _messages(self._shown, question),
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        ).to(model.device)
        config, sample = self._config, self._config.temperature > 0
        forked = [model.device] if model.device.type == "cuda" else []
        with torch.random.fork_rng(forked):
            torch.manual_seed(config.seed)
            tokens = model.generate(
                **inputs,
                do_sample=sample,
                num_beams=1,
                temperature=config.temperature if sample else None,
                top_p=config.top_p if sample else None,
                top_k=0 if sample else None,
                max_new_tokens=config.max_tokens,
                pad_token_id=_first(tokenizer.pad_token_id, tokenizer.eos_token_id),
            )
        answer = tokens[0, inputs["input_ids"].shape[1] :]
        return str(tokenizer.decode(answer, skip_special_tokens=True)).strip()

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            from transformers import AutoModelForCausalLM, AutoTokenizer

            tokenizer, model = load_pretrained(
                self._config.weights,
                "a chat model",
                AutoTokenizer,
                AutoModelForCausalLM,
                device=self._device,
                dtype=self._dtype,
            )
            if not tokenizer.chat_template:
                raise ValueError(
                    f"weights: expected a model with a chat template, {self.name!r} has none"
                )
            self._loaded = tokenizer, model
        return self._loaded


_TOO_LONG = "the answer takes too long"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Raises what urllib would follow, with the key, to wherever the server says."""

    def redirect_request(self, *args: Any) -> None:
        """Follow nothing."""


class EndpointChat:
    """A server with OpenAI's ``/chat/completions``: vLLM, llama.cpp, Ollama, or a hosted one."""

    _BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
    _UNABLE = frozenset({400, 415, 422, 501})
    """Where the request itself displeases: it is sent once more without the schema."""

    def __init__(
        self, config: ChatConfig, *, shown: Turns = (), schema: Mapping[str, Any] | None = None
    ) -> None:
        """Check that address and model are known; see :func:`build_chat`.

        Raises:
            ValueError: if one is not.
        """
        address = config.address or os.environ.get("OPENAI_BASE_URL", "")
        if not address.startswith(("http://", "https://")):
            raise ValueError(
                "address: expected an http(s) address of an OpenAI-compatible endpoint in the "
                f"options or $OPENAI_BASE_URL, got {address!r}"
            )
        if not config.model:
            raise ValueError("model: expected the endpoint's name of a model, got none")
        self.name = config.model + sampling_name(config)
        self._config, self._shown, self._schema = config, shown, schema
        self._address = address.rstrip("/") + "/chat/completions"

    def reply(self, question: str) -> str:
        """Return the answer; see ``Chat.reply``.

        Raises:
            ConnectionError: after the last try, or at once where trying again cannot help.
            ValueError: if what comes back is no chat completion.
        """
        body: dict[str, Any] = {
            "model": self._config.model,
            "messages": _messages(self._shown, question),
            "temperature": self._config.temperature,
            "top_p": self._config.top_p,
            "seed": self._config.seed,
            "max_tokens": self._config.max_tokens,
        }
        if self._schema is not None:
            form = {"name": "answer", "strict": True, "schema": self._schema}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        wait = self._config.retry_s
        for left in range(self._config.retries, -1, -1):
            try:
                return self._content(self._ask(body))
            except urllib.error.HTTPError as error:
                reason = f"status {error.code}, {error.msg}"
                if error.code in self._UNABLE and "response_format" in body:
                    self._schema = None  # an older server: the question alone has to do
                    return self.reply(question)
                if error.code not in self._BUSY:
                    raise ConnectionError(self._failed(reason)) from None
            except (OSError, http.client.HTTPException) as error:  # no route, refused, timed out
                reason = str(getattr(error, "reason", error)) or type(error).__name__
            if left:
                time.sleep(wait)
                wait *= 2
        raise ConnectionError(self._failed(f"{reason}, {self._config.retries + 1} tries"))

    def _ask(self, body: dict[str, Any]) -> str:
        headers = {"Content-Type": "application/json"}
        key = self._key()
        if key:
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(
            self._address, data=json.dumps(body).encode(), headers=headers
        )
        with Deadline(self._config.timeout_s) as deadline:
            try:
                with deadline.opener(_NoRedirect).open(
                    request, timeout=self._config.timeout_s
                ) as response:
                    text = self._read(response)
            except urllib.error.HTTPError as error:
                error.msg = _detail(error)  # read while the deadline holds
                raise
            except (OSError, http.client.HTTPException):
                if deadline.over:
                    raise TimeoutError(_TOO_LONG) from None
                raise
        if deadline.over:  # what was cut may look like an end
            raise TimeoutError(_TOO_LONG)
        return text

    def _read(self, response: http.client.HTTPResponse) -> str:
        """Return the body, if it is not endless."""
        read = b""
        while part := response.read1(1 << 16):
            read += part
            if len(read) > _MAX_REPLY_BYTES:
                raise ValueError(self._failed(f"expected at most {_MAX_REPLY_BYTES} bytes"))
        return read.decode(errors="replace")

    def _key(self) -> str:
        key = os.environ.get(self._config.key_variable, "").strip()
        if not (key.isascii() and (key.isprintable())):
            raise ValueError(
                f"key_variable: ${self._config.key_variable} holds no key: odd letters"
            )
        return key

    def _content(self, text: str) -> str:
        try:
            content = json.loads(text)["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError, RecursionError):
            raise ValueError(
                self._failed(f"expected a chat completion, got {text[:200]!r}")
            ) from None
        return str(content or "").strip()

    def _failed(self, reason: str) -> str:
        hint = ""
        if reason.startswith(("status 401", "status 403")):
            hint = f"; is ${self._config.key_variable} right?"
        text = f"{self._address}: {reason}{hint}"
        key = self._key()
        return text.replace(key, "***") if key else text  # some servers quote it


def _detail(error: urllib.error.HTTPError) -> str:
    """Return what the server says about an error, in one short line."""
    if 300 <= error.code < 400:
        return (
            f"a redirect to {error.headers.get('Location')}, and the key is for this address only"
        )
    try:
        text = error.read(_MAX_ERROR_BYTES).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        text = ""
    return " ".join(text.split())[:200] or str(error.reason)


def sampling_name(config: ChatConfig) -> str:
    """Return what tells a sampled model's answers from the likeliest ones; empty for the latter."""
    if not config.temperature:
        return ""
    return f" (temperature {config.temperature:g}, top-p {config.top_p:g}, seed {config.seed})"


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)
