"""Chat models: a tiny one of transformers', and an endpoint that misbehaves."""

import contextlib
import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from ovseg_ros.evaluation.mapping.sentence_bert import SentenceBert, SentenceBertConfig, embed
from ovseg_ros.models.chat import EndpointChat, TransformersChat, build_chat
from ovseg_ros.models.chat_config import ChatConfig

WORDS = [*("the", "classes", "of", "an", "image", "is", "similar", "to"), *("road", "car", "taxi")]
TEMPLATE = "{% for m in messages %}[INST] {{ m['content'] }} [/INST]{% endfor %}"


def tokenizer(**special):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {w: i for i, w in enumerate(["<pad>", "<unk>", "<s>", "</s>", *WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        **{"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", **special},
    )


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """Folder of a Llama of two thin layers with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("llama")
    words = tokenizer()
    words.chat_template = TEMPLATE
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
        initializer_range=0.5,
        bos_token_id=2,
        eos_token_id=3,
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def test_transformers_answers_greedily_and_the_same(llama):
    config = ChatConfig(weights=str(llama), max_tokens=6)
    chat = build_chat(config, device="cpu", dtype="float32")
    answer = chat.reply("taxi is similar to")
    assert chat.reply("taxi is similar to") == answer
    assert answer
    tokens, model = chat._load()
    prompt = tokens("[INST] taxi is similar to [/INST]", return_tensors="pt").input_ids
    start = prompt.shape[1]
    while prompt.shape[1] < start + 6 and int(prompt[0, -1]) != tokens.eos_token_id:
        with torch.no_grad():  # greedy decoding, step by step
            best = model(prompt).logits[:, -1:].argmax(-1)
        prompt = torch.cat([prompt, best], dim=1)
    assert answer == tokens.decode(prompt[0, start:], skip_special_tokens=True).strip()


def test_a_model_without_chat_template_is_refused(llama, tmp_path):
    plain = tmp_path / "plain"
    plain.mkdir()
    for file in llama.iterdir():
        if file.name != "chat_template.jinja":
            (plain / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ValueError, match="expected a model with a chat template"):
        TransformersChat(ChatConfig(weights=str(plain)), device="cpu").reply("hello")


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="weights: expected a chat model, could not load"):
        TransformersChat(ChatConfig(weights=str(tmp_path)), device="cpu").reply("hello")
    config = SentenceBertConfig(weights=str(tmp_path))
    with pytest.raises(FileNotFoundError, match="weights: expected a sentence encoder"):
        SentenceBert(config, ["car"], device="cpu").match("taxi")


@pytest.fixture
def endpoint():
    """A server that answers with what the test puts into ``answers``: (status, body)."""
    answers, requests = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append((self.path, dict(self.headers), json.loads(body)))
            status, text, *headers = answers.pop(0)
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):  # the client need not read to the end
                self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1", answers, requests
    server.shutdown()
    thread.join()
    server.server_close()


GOOD = (200, json.dumps({"choices": [{"message": {"content": " 'car'\n"}}]}))


def chat(address, **options):
    options = {"backend": "openai", "address": address, "model": "m", "retry_s": 0.0, **options}
    return build_chat(ChatConfig(**options))


def test_the_endpoint_is_asked_as_it_expects(endpoint, monkeypatch):
    address, answers, requests = endpoint
    monkeypatch.setenv("MY_KEY", "secret")
    answers.append(GOOD)
    assert chat(address + "/", key_variable="MY_KEY", max_tokens=9).reply("taxi?") == "'car'"
    ((path, headers, body),) = requests
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer secret"
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "taxi?"}],
        "temperature": 0.0,
        "top_p": 1.0,
        "seed": 0,
        "max_tokens": 9,
    }


def test_examples_come_before_the_question_and_a_schema_beside_it(endpoint):
    address, answers, requests = endpoint
    config = ChatConfig(backend="openai", address=address, model="m", retry_s=0.0)
    model = build_chat(config, shown=[("cab?", "car")], schema={"type": "object"})
    answers += [GOOD, (400, "response_format: unknown"), GOOD, GOOD]
    assert [model.reply("taxi?") for _ in range(3)] == ["'car'"] * 3
    bodies = [body for _, _, body in requests]
    assert bodies[0]["messages"] == [
        {"role": "user", "content": "cab?"},
        {"role": "assistant", "content": "car"},
        {"role": "user", "content": "taxi?"},
    ]
    form = bodies[0]["response_format"]
    assert (form["type"], form["json_schema"]["schema"]) == ("json_schema", {"type": "object"})
    # A server that knows no schemas is asked without, and not bothered again.
    assert ["response_format" in body for body in bodies] == [True, True, False, False]


def test_address_and_key_come_from_the_environment(endpoint, monkeypatch):
    address, answers, requests = endpoint
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    answers.append(GOOD)
    assert chat("").reply("taxi?") == "'car'"
    assert "Authorization" not in requests[0][1]


def test_a_busy_endpoint_is_asked_again(endpoint):
    address, answers, requests = endpoint
    answers += [(503, "busy"), (429, "slow down"), GOOD]
    assert chat(address, retries=2).reply("taxi?") == "'car'"
    answers += [(503, "busy")] * 2
    with pytest.raises(ConnectionError, match="status 503, busy, 2 tries"):
        chat(address, retries=1).reply("taxi?")
    assert len(requests) == 5


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ((401, "no"), ConnectionError, r"status 401, no; is \$OPENAI_API_KEY right\?"),
        ((404, '{"error": "no model m"}'), ConnectionError, "status 404, .*no model m"),
        ((200, "<html>"), ValueError, "expected a chat completion, got '<html>'"),
        ((200, '{"choices": []}'), ValueError, "expected a chat completion"),
    ],
)
def test_what_does_not_pass_is_not_tried_again(endpoint, answer, error, message):
    address, answers, requests = endpoint
    answers.append(answer)
    with pytest.raises(error, match=message):
        chat(address).reply("taxi?")
    assert len(requests) == 1


def test_an_endpoint_that_is_away_is_named(endpoint):
    away = "http://127.0.0.1:9/v1"
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:9/v1/chat/completions: .*, 3 tries"):
        chat(away, retries=2, timeout_s=2.0).reply("taxi?")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"address": "", "model": "m"}, "address: expected an http"),
        ({"address": "file:///etc/passwd", "model": "m"}, "address: expected an http"),
        ({"address": "http://x", "model": ""}, "model: expected the endpoint's name"),
    ],
)
def test_an_endpoint_needs_an_address_and_a_model(monkeypatch, options, message):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ValueError, match=message):
        EndpointChat(ChatConfig(backend="openai", **options))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """Folder of a BERT of one thin layer with random weights."""
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("bert")
    words = tokenizer(pad_token="<pad>")
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        initializer_range=0.5,
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def test_sentence_bert_takes_the_nearest_class(encoder):
    classes = ["road", "car", "person"]
    config = SentenceBertConfig(weights=str(encoder))
    mapper = SentenceBert(config, classes, device="cpu", dtype="float32")
    for name in classes:
        assert mapper.match(name) == (name, "cosine 1.000")
    words, model, _ = mapper._load()
    vectors = []
    for text in ("taxi", *classes):  # one by one, without padding
        with torch.no_grad():
            vectors.append(model(**words(text, return_tensors="pt")).last_hidden_state[0].mean(0))
    cosines = [torch.cosine_similarity(vectors[0], v, dim=0) for v in vectors[1:]]
    found = mapper.match("taxi")
    assert found.category == classes[int(torch.stack(cosines).argmax())]
    assert float(found.rule.split()[1]) == pytest.approx(float(max(cosines)), abs=1e-3)


def test_padding_does_not_change_an_embedding(encoder):
    mapper = SentenceBert(SentenceBertConfig(weights=str(encoder)), ["car"], device="cpu")
    words, model, _ = mapper._load()
    together = embed(words, model.float(), ["car", "the classes of an image"])
    torch.testing.assert_close(together[:1], embed(words, model, ["car"]), rtol=1e-4, atol=1e-5)


def test_sentence_bert_may_say_none(encoder):
    config = SentenceBertConfig(weights=str(encoder), min_cosine=0.9999)
    assert SentenceBert(config, ["road", "car"], device="cpu").match("taxi").category is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_key_follows_no_redirect(endpoint, monkeypatch, status):
    address, answers, requests = endpoint
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    other = address.replace("127.0.0.1", "localhost") + "/elsewhere"
    answers += [(status, "", ("Location", other)), GOOD]
    with pytest.raises(ConnectionError, match=f"status {status}, a redirect to {other}"):
        chat(address).reply("taxi?")
    assert [path for path, _, _ in requests] == ["/v1/chat/completions"]


def test_replies_have_a_limit(endpoint, monkeypatch):
    address, answers, _ = endpoint
    answers += [(200, " " * (5 << 20) + GOOD[1]), (400, "x" * (5 << 20))]
    with pytest.raises(ValueError, match="expected at most 4194304 bytes"):
        chat(address).reply("taxi?")
    with pytest.raises(ConnectionError, match=r"status 400, x+$") as caught:
        chat(address).reply("taxi?")
    assert len(str(caught.value)) < 400
    answers.append((200, '{"choices": ' + "[" * 200_000))
    with pytest.raises(ValueError, match="expected a chat completion"):
        chat(address).reply("taxi?")


TRICKLES = {
    "body": (b"HTTP/1.1 200 OK\r\n\r\n", b" "),
    "status": (b"", b"H"),
    "headers": (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "patience": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "error": (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 9000\r\n\r\n", b"x"),
    "nothing": (b"", b""),
}


@pytest.mark.parametrize(("first", "then"), TRICKLES.values(), ids=TRICKLES)
def test_a_reply_that_never_ends_is_given_up(first, then):
    given_up = threading.Event()

    class Trickle(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.sendall(first)
            with contextlib.suppress(OSError):
                while not given_up.wait(0.05):
                    self.request.sendall(then)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Trickle)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    # Given up it must be: it would never end.
    with pytest.raises(ConnectionError, match=r"takes too long|timed out|status 400"):
        chat(address, timeout_s=0.5, retries=0).reply("taxi?")
    given_up.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_key_is_never_shown(endpoint, monkeypatch):
    address, answers, _ = endpoint
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    answers.append((401, "wrong key sk-secret"))
    with pytest.raises(ConnectionError, match=r"wrong key \*\*\*.*OPENAI_API_KEY right"):
        chat(address).reply("taxi?")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-\x01secret")
    with pytest.raises(ValueError, match="OPENAI_API_KEY holds no key") as caught:
        chat(address).reply("taxi?")
    assert "secret" not in str(caught.value)
