import json
import math
from functools import partial

import pytest

from memos_inference.adapters.bert import BertForward
from memos_inference.adapters.checkpoint import FileDigests
from memos_inference.adapters.loading import load_encoder
from memos_inference.adapters.transformers_embedder import TransformersEmbedder
from memos_inference.config import InferenceConfig
from memos_kernel.errors import DependencyUnavailable, Overloaded

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "one", "two", "three", "four")
TEXTS = ["one", "two three four one two", "three one"]
MEAN, CLS = {"pooling_mode_mean_tokens": True}, {"pooling_mode_cls_token": True}


def write_encoder(folder, *, kind: str = "Bert", pooling: dict[str, bool] | None = None, longest: int = 8):
    """Write a random encoder in the form of a sentence-transformers model."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        pad_token_id=0,
        layer_norm_eps=1e-3,
    )
    model = getattr(transformers, f"{kind}Model")(config)
    for parameter in model.parameters():  # biases and norms too, which otherwise all begin alike
        torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": longest}))
    if pooling is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


@pytest.fixture
def load(tmp_path):
    def make(**options):
        folder = tmp_path / "encoder"
        folder.mkdir()
        write_encoder(folder, **options)
        return load_encoder(
            str(folder), InferenceConfig(threads=1), FileDigests(tmp_path / "digests.json"), setting="embedder"
        )

    return make


@pytest.mark.parametrize("kind", ["Bert", "MPNet", "Roberta"])
@pytest.mark.parametrize("pooling", [MEAN, CLS, None])
def test_padding_does_not_change_a_vector(load, kind, pooling):
    encoder = load(kind=kind, pooling=pooling)
    alone = [encoder.encode([text], max_texts=1)[0].values for text in TEXTS]
    for vector, expected in zip(encoder.encode(TEXTS, max_texts=8), alone, strict=True):
        assert vector.values == pytest.approx(expected, abs=1e-5)
        assert math.hypot(*vector.values) == pytest.approx(1.0)


def test_the_pooling_is_that_of_the_checkpoint(load, tmp_path):
    mean = load(pooling=MEAN).encode(["one two"], max_texts=1)
    (tmp_path / "encoder").rename(tmp_path / "mean")
    assert load(pooling=CLS).encode(["one two"], max_texts=1)[0].values != pytest.approx(mean[0].values)


def test_a_bert_gives_the_vectors_that_transformers_gives(load, tmp_path):
    import torch
    from transformers import BertModel

    encoder, model = load(pooling=MEAN), BertModel.from_pretrained(tmp_path / "encoder", add_pooling_layer=False).eval()
    ids = torch.tensor([[2, 4, 5, 6, 7, 3], [2, 6, 3, 0, 0, 0]])
    with torch.inference_mode():
        for mask in (None, ids != 0):
            expected = model(input_ids=ids, attention_mask=mask).last_hidden_state
            torch.testing.assert_close(BertForward(model)(ids, mask), expected)
    (vector,) = encoder.encode(["one two three four"], max_texts=1)
    expected = model(input_ids=ids[:1]).last_hidden_state.mean(1)[0]
    assert vector.values == pytest.approx((expected / expected.norm()).tolist(), abs=1e-5)


@pytest.mark.parametrize("setting", [{"hidden_act": "relu"}, {"is_decoder": True}, {"model_type": "mpnet"}])
def test_a_model_that_computes_something_else_keeps_its_own_pass(setting):
    from transformers import BertConfig

    config = BertConfig()
    assert BertForward.fits(config)
    for name, value in setting.items():
        setattr(config, name, value)
    assert not BertForward.fits(config)


def test_a_pooling_that_is_not_known_is_refused(load):
    with pytest.raises(DependencyUnavailable, match="max_tokens"):
        load(pooling={"pooling_mode_max_tokens": True})


def test_what_is_longer_than_the_encoder_reads_is_cut_off(load):
    encoder = load(longest=4)
    long, cut = encoder.encode(["one two three four", "one two"], max_texts=2)
    assert long.values == pytest.approx(cut.values, abs=1e-5)


async def test_a_full_queue_refuses_a_call_and_a_caller_that_leaves_makes_room(load):
    import asyncio
    import threading

    encoder, entered, go = load(), threading.Event(), threading.Event()

    class Slow:
        description = encoder.description

        def encode(self, texts, **options):
            entered.set()
            assert go.wait(10)
            return encoder.encode(texts, **options)

    embedder = TransformersEmbedder(Slow, max_batch_texts=2, max_queue_tokens=10)
    await embedder.start()
    running = asyncio.create_task(embedder.embed(["one"]))
    await asyncio.to_thread(entered.wait, 10)
    waiting = asyncio.create_task(embedder.embed(["two three one two three"]))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await embedder.embed(["three"])
    waiting.cancel()
    await asyncio.wait([waiting])
    late = asyncio.create_task(embedder.embed(["three"]))
    await asyncio.sleep(0)
    go.set()
    assert (await running).vectors
    assert (await late).vectors
    await embedder.close()


async def test_an_encoder_that_cannot_be_loaded_names_the_setting(tmp_path):
    folder = tmp_path / "encoder"
    folder.mkdir()
    write_encoder(folder)
    (folder / "model.safetensors").write_bytes(b"torn")
    config = InferenceConfig(embedder=str(folder), threads=1)
    load = partial(load_encoder, config, FileDigests(tmp_path / "digests.json"))
    embedder = TransformersEmbedder(load, max_batch_texts=2, max_queue_tokens=10)
    with pytest.raises(DependencyUnavailable, match=r"inference\.embedder"):
        await embedder.start()
    assert not embedder.healthy
    with pytest.raises(DependencyUnavailable):
        await embedder.embed(["one"])
    await embedder.close()


def test_a_gpu_that_is_not_there_is_said(monkeypatch):
    import torch

    from memos_inference.adapters import environment

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert environment.pick_device("auto") == "cpu"
    with pytest.raises(DependencyUnavailable, match=r"inference\.device"):
        environment.pick_device("cuda")
