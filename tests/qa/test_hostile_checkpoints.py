"""Model folders that somebody broke or made to do harm: each file an error that names it, before anything is built."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForQuestionAnswering

from bioqa_pipeline.config import WindowConfig
from bioqa_pipeline.errors import CheckpointError
from bioqa_pipeline.qa.checkpoint import load_model, open_checkpoint, read_configuration, transformers_config
from bioqa_pipeline.qa.network_kinds import network_config
from support.checkpoints import make_checkpoint, vocabulary

Damage = Callable[[Path], object]
CONFIG, SETTINGS, TOKENIZER, TOKENIZER_CONFIG = "config.json", "bioqa.json", "tokenizer.json", "tokenizer_config.json"
SAFETENSORS, BIN = "model.safetensors", "pytorch_model.bin"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("base"), layers=1)


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(base, tmp_path / "model"))


def refused(damage: Damage, folder: Path) -> str:
    damage(folder)
    with pytest.raises(CheckpointError) as caught:
        load_model(open_checkpoint(str(folder)))
    message = str(caught.value)
    assert "\n" not in message and len(message) < 900
    return message


def config(**changes: object) -> Damage:
    def change(folder: Path) -> None:
        values = json.loads((folder / CONFIG).read_text("utf-8"))
        (folder / CONFIG).write_text(json.dumps(values | changes), "utf-8")

    return change


def content(name: str, data: bytes | str) -> Damage:
    return lambda folder: (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)


def replaced(name: str, make: Callable[[Path], object]) -> Damage:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return change


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "evil", "auto_map": {"AutoConfig": "evil.C"}}, "model_type 'evil' is not a BERT-type encoder"),
        ({"model_type": ["bert"]}, "is not a BERT-type encoder"),
        ({"vocab_size": "abc"}, "vocab_size 'abc'"),
        ({"vocab_size": None}, "vocab_size None"),
        ({"vocab_size": [1]}, "vocab_size …: input should be a valid integer"),
        ({"vocab_size": True}, "vocab_size True"),
        ({"vocab_size": 10**400}, "vocab_size"),
        ({"hidden_size": -1}, "hidden_size -1"),
        ({"hidden_size": 31}, "num_attention_heads 2 does not divide hidden_size 31"),
        ({"hidden_size": 10**7}, "hidden_size 10000000"),
        ({"hidden_size": 16_384, "num_hidden_layers": 128, "intermediate_size": 65_536}, "weights; at most"),
        ({"num_attention_heads": 0}, "num_attention_heads 0"),
        ({"num_hidden_layers": 2_000_000}, "num_hidden_layers 2000000"),
        ({"num_hidden_layers": "six"}, "num_hidden_layers 'six'"),
        ({"intermediate_size": 1.5}, "intermediate_size 1.5"),
        ({"max_position_embeddings": 10**12}, "max_position_embeddings 1000000000000"),
        ({"max_position_embeddings": 256}, "model.safetensors: bert.embeddings.position_embeddings.weight has shape"),
        ({"type_vocab_size": 1}, "type_vocab_size 1"),
        ({"hidden_act": "os.system"}, "hidden_act 'os.system'"),
        ({"hidden_act": {"class": "x"}}, "hidden_act"),
        ({"layer_norm_eps": 1e999}, "not valid JSON: Infinity is not a number"),
        ({"layer_norm_eps": 0}, "layer_norm_eps 0"),
        ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob 1.5"),
        ({"pad_token_id": 10**6}, "pad_token_id 1000000 lies outside"),
        ({"pad_token_id": -1}, "pad_token_id -1"),
        ({"dtype": "int8"}, "dtype 'int8'"),
        ({"torch_dtype": "torch.complex64"}, "torch_dtype 'complex64'"),
        ({"is_decoder": True}, "is_decoder True"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type 'relative_key'"),
        (
            {"quantization_config": {"quant_method": "bitsandbytes"}},
            "quantised models are not loaded",
        ),
        ({"pruned_heads": {"0": [1]}}, "pruned models are not loaded"),
        ({"x": "\n" * 5000, "hidden_size": "\n" * 5000}, "hidden_size"),
    ],
)
def test_a_configuration_that_no_network_has(folder: Path, changes: dict[str, Any], message: str) -> None:
    assert message in refused(config(**changes), folder)


def test_a_number_beyond_any_float_in_a_configuration(folder: Path) -> None:
    text = (folder / CONFIG).read_text("utf-8").replace('"layer_norm_eps": 1e-12', '"layer_norm_eps": 1e999')
    assert "layer_norm_eps inf" in refused(content(CONFIG, text), folder)


@pytest.mark.parametrize("name", ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"])
def test_a_configuration_without_a_size(folder: Path, name: str) -> None:
    values = json.loads((folder / CONFIG).read_text("utf-8"))
    del values[name]
    assert f"config.json: {name} is missing" in refused(content(CONFIG, json.dumps(values)), folder)


def test_nothing_but_numbers_reaches_transformers(folder: Path, base: Path) -> None:
    expected = load_model(open_checkpoint(str(base)))
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    config(
        auto_map={"AutoModelForQuestionAnswering": "evil.M", "AutoConfig": "evil.C"},
        trust_remote_code=True,
        _attn_implementation="kernels-community/evil",
        attn_implementation="kernels-community/evil",
        _attn_implementation_internal="kernels-community/evil",
        name_or_path="/etc/passwd",
        from_pretrained="x",
        num_labels=3,
        self=1,
        __class__="x",
    )(folder)
    found = load_model(open_checkpoint(str(folder)))
    assert type(found) is type(expected)
    assert found.config.to_dict() == expected.config.to_dict()
    assert all(torch.equal(v, expected.state_dict()[k]) for k, v in found.state_dict().items())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model_type": "electra", "embedding_size": 16},
        {"model_type": "electra", "embedding_size": 32},
        {"model_type": "mpnet"},
    ],
)
def test_the_shapes_that_are_checked_are_those_of_transformers(base: Path, changes: dict[str, Any]) -> None:
    values = json.loads((base / CONFIG).read_text("utf-8")) | changes
    network = network_config(values, base / CONFIG)
    with torch.device("meta"):
        model = AutoModelForQuestionAnswering.from_config(transformers_config(network))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert network.weight_shapes() == shapes
    assert network.n_parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("[" * 200_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        (b"\xff\xfe{", "not UTF-8"),
        ("", "not valid JSON"),
        ('"text"', "does not hold a JSON object"),
        ('{"a": NaN}', "NaN is not a number"),
        ('{"a": ' + "9" * 5000 + "}", "not valid JSON"),
        ('{"a": 1, "a": 2}', "'a' stands there twice"),
        (b" " * ((1 << 24) + 1), "bytes: no model has such a file"),
    ],
)
@pytest.mark.parametrize("name", [CONFIG, SETTINGS, TOKENIZER, TOKENIZER_CONFIG])
def test_a_file_that_is_no_json_object(folder: Path, name: str, data: bytes | str, message: str) -> None:
    found = refused(content(name, data), folder)
    assert message in found and name in found


@pytest.mark.parametrize(
    "make",
    [
        Path.mkdir,
        os.mkfifo,
        lambda p: p.symlink_to("/dev/zero"),
        lambda p: p.symlink_to(p),
        # Opens like a file, and gives an error when it is read.
        lambda p: p.symlink_to("/proc/self/mem"),
        Path.touch,
    ],
    ids=["folder", "pipe", "device", "loop", "unreadable", "empty"],
)
@pytest.mark.parametrize("name", [CONFIG, SETTINGS, TOKENIZER, TOKENIZER_CONFIG, "vocab.txt", SAFETENSORS, BIN])
def test_what_is_no_file_with_something_in_it(folder: Path, name: str, make: Callable[[Path], object]) -> None:
    if name == BIN:
        (folder / SAFETENSORS).unlink()
    assert name in refused(replaced(name, make), folder)


def header(data: bytes = b"", **tensors: object) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype: str, shape: list[object], start: object, end: object) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (struct.pack("<Q", 2**63) + b"{}", "ends inside its header"),
        (struct.pack("<Q", 90_000_000) + b"{}", "ends inside its header"),
        (b"\x02", "ends inside its header"),
        (header(b"1234", a=tensor("F32", [2**31, 2**31, 2**31], 0, 4)), "'a' has 4 bytes in the place of its numbers"),
        (header(a=tensor("F32", [0, 2**62], 0, 0)), "no question-answering head"),
        (header(a=tensor("F32", [-1], 0, 0)), "'a' has no type, shape and place"),
        (header(a=tensor("F32", ["x"], 0, 0)), "'a' has no type, shape and place"),
        (header(b"1234", a=tensor("F32", [1], 4, 8)), "overlap or leave gaps"),
        (header(b"1234", a=tensor("F32", [1], 0, 4), b=tensor("F32", [1], 0, 4)), "overlap or leave gaps"),
        (header(b"12345", a=tensor("F32", [1], 0, 4)), "its tensors have 4 bytes, the file 5"),
        (header(a=[1]), "'a' has no type, shape and place"),
        (header(b"1234", a=tensor("F32", [9] * 1_000_000, 0, 4)), "'a' has no type, shape and place"),
        (header(b"1234", a=tensor("F32", [10**4000] * 1000, 0, 4)), "'a' has no type, shape and place"),
        (header(**{"qa_outputs.bias": tensor("F32", [10**4000, 0], 0, 0)}), "has no type, shape and place"),
        (struct.pack("<Q", 200_000) + b"[" * 200_000, "nested too deeply"),
        (struct.pack("<Q", 2) + b"[]", "does not hold a JSON object"),
        (b"root:x:0:0:root:/root:/bin/bash\n" * 9, "ends inside its header"),
    ],
)
def test_a_header_that_claims_what_is_not_there(folder: Path, data: bytes, message: str) -> None:
    assert message in refused(content(SAFETENSORS, data), folder)


def test_a_sparse_file_of_a_terabyte(folder: Path) -> None:
    assert "cannot fill more than" in refused(lambda f: os.truncate(f / SAFETENSORS, 1 << 40), folder)


State = dict[str, torch.Tensor]


@pytest.mark.parametrize("name", [SAFETENSORS, BIN])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x["qa_outputs.bias"].fill_(float("nan")), "qa_outputs.bias holds NaN"),
        (lambda x: x["qa_outputs.bias"][:1].fill_(float("-inf")), "qa_outputs.bias holds NaN or infinite"),
        (lambda x: x.update({"qa_outputs.bias": torch.tensor([1e300, 0], dtype=torch.float64)}), "infinite"),
        (lambda x: x.update({"qa_outputs.bias": x["qa_outputs.bias"].to(torch.int8)}), "qa_outputs.bias holds"),
        (lambda x: x.update({"qa_outputs.bias": x["qa_outputs.bias"].to(torch.complex64)}), "qa_outputs.bias holds"),
        (lambda x: x.update({"qa_outputs.bias": torch.zeros(3)}), r"has shape (3,), but config.json asks for (2,)"),
        (lambda x: x.update({"bert.embeddings.LayerNorm.gamma": torch.ones(32)}), "a weight under two names"),
    ],
)
def test_weights_that_are_none(folder: Path, name: str, change: Callable[[State], object], message: str) -> None:
    state = load_file(folder / SAFETENSORS)
    change(state)
    if name == BIN:
        (folder / SAFETENSORS).unlink()
        torch.save(state, folder / BIN)
    else:
        save_file(state, folder / SAFETENSORS)
    found = refused(lambda _: None, folder)
    assert message in found and name in found


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("exploded",)


def ragged(path: Path) -> None:
    with warnings.catch_warnings():
        # torch calls its own rows of several lengths a prototype.
        warnings.simplefilter("ignore")
        torch.save({"qa_outputs.bias": torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])}, path)


def bomb(path: Path) -> None:
    """A state whose one entry is packed to a thousandth."""
    torch.save({"qa_outputs.bias": torch.zeros(1 << 20)}, path)
    with zipfile.ZipFile(path) as plain:
        entries = {name: plain.read(name) for name in plain.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in entries.items():
            packed.writestr(name, data)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: p.write_bytes(pickle.dumps(Bomb(), protocol=2)),
        lambda p: torch.save({"a": torch.zeros(2), "x": Bomb()}, p),
        lambda p: p.write_bytes(b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R."),
        lambda p: p.write_bytes(b"cos\nmkdir\n(S'exploded'\ntR."),
        lambda p: p.write_bytes(b"PK\x03\x04" + bytes(100)),
        lambda p: p.write_bytes(b"\x80\x02K\x05." * 3),
        lambda p: p.write_bytes(b"\x80\x02I99x\n."),
        lambda p: p.write_bytes(b"\x80\x02"),
        lambda p: torch.save([1, 2], p),
        lambda p: torch.save({"a": {"b": torch.zeros(1)}}, p),
        lambda p: torch.save({1: torch.zeros(1)}, p),
        lambda p: torch.save({"qa_outputs.bias": torch.zeros(2).to_sparse()}, p),
        lambda p: torch.save({"qa_outputs.bias": torch.zeros(1).expand(1 << 40)}, p),
        lambda p: torch.save({"qa_outputs.bias": torch.zeros(2, device="meta")}, p),
        lambda p: torch.save({"qa_outputs.bias": torch.zeros(2, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)}, p),
        lambda p: torch.save({"qa_outputs.bias": torch.zeros(2).to(torch.float8_e4m3fn)}, p),
        ragged,
        bomb,
    ],
)
def test_a_pickle_that_is_no_plain_weights(
    folder: Path, make: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / SAFETENSORS).unlink()
    assert BIN in refused(replaced(BIN, make), folder)
    assert not Path("exploded").exists()


def tokenizer(change: Callable[[dict[str, Any]], object]) -> Damage:
    """The vocabulary as `tokenizer.json`, changed."""

    def write(folder: Path) -> None:
        (folder / "vocab.txt").unlink()
        words = {word: index for index, word in enumerate(vocabulary(cased=False))}
        values: dict[str, Any] = {
            "added_tokens": [{"id": words["[CLS]"], "content": "[CLS]", "special": True}],
            "normalizer": {"type": "BertNormalizer", "lowercase": True},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "model": {"type": "WordPiece", "vocab": words},
        }
        change(values)
        (folder / TOKENIZER).write_text(json.dumps(values), "utf-8")

    return write


REDOS = {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": "b"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.clear(), "it has no model"),
        (lambda t: t.update(model={"type": "BPE", "vocab": {}}), "a 'BPE' tokenizer"),
        (lambda t: t["model"].pop("vocab"), "its model has no vocab"),
        (lambda t: t["model"]["vocab"].update({"[PAD]": 2**40}), "token '[PAD]' has id 1099511627776"),
        (lambda t: t["model"]["vocab"].update({"[PAD]": 2**32 - 1}), "token '[PAD]' has id 4294967295"),
        (lambda t: t["model"]["vocab"].update({"[PAD]": -1}), "token '[PAD]' has id -1"),
        (lambda t: t["model"]["vocab"].update({"[PAD]": "0"}), "token '[PAD]' has id '0'"),
        (lambda t: t["model"]["vocab"].update({"heart": 7}), "have one id, 7"),
        (lambda t: t["model"]["vocab"].update({"heart": 60_000}), "token 'heart' has id 60000"),
        (lambda t: t["model"]["vocab"].pop("[SEP]"), "the vocabulary lacks [SEP]"),
        (lambda t: t["model"]["vocab"].update({"\ud800": t["model"]["vocab"].pop("heart")}), "no text in Unicode"),
        (lambda t: t["model"].update(continuing_subword_prefix="@@"), "another tokenizer"),
        (lambda t: t["added_tokens"].append({"id": 99_999, "content": "[EVIL]"}), "token '[EVIL]' has id 99999"),
        (lambda t: t["added_tokens"].append({"id": 3, "content": "heart"}), "'heart' has two ids"),
        (lambda t: t["added_tokens"].append({"id": "x"}), "id 'x'"),
        (lambda t: t.update(added_tokens={}), "added_tokens is no list"),
        (lambda t: t.update(normalizer=REDOS), "one of its normalizers is 'Replace'"),
        (
            lambda t: t.update(normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}, REDOS]}),
            "one of its normalizers is 'Replace'",
        ),
        (lambda t: t.update(pre_tokenizer={"type": "Split", "pattern": {"Regex": "(a+)+$"}}), "is 'Split'"),
        (lambda t: t.update(pre_tokenizer="x"), "one of its pretokenizers is None"),
        (lambda t: t["normalizer"].update(lowercase="maybe"), "lowercase 'maybe'"),
    ],
)
def test_a_tokenizer_that_no_bert_has(folder: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    found = refused(tokenizer(change), folder)
    assert message in found and TOKENIZER in found


@pytest.mark.parametrize("rows", [0, 1, 60])
def test_ids_that_belong_to_no_token_are_told(folder: Path, rows: int, caplog: pytest.LogCaptureFixture) -> None:
    size = len(vocabulary(cased=False))
    tokenizer(lambda t: t["model"]["vocab"].update({"heart": size - 1 + rows, "cell": t["model"]["vocab"]["heart"]}))(
        folder
    )
    config(vocab_size=size + rows)(folder)
    read_configuration(folder)
    assert (f"{rows} ids below its highest" in caplog.text) == (rows > 0)


@pytest.mark.parametrize(
    ("normalizer", "casing"),
    [
        (None, "cased"),
        ({"type": "BertNormalizer", "lowercase": False}, "cased"),
        ({"type": "BertNormalizer", "lowercase": True}, "uncased"),
        ({"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "Lowercase"}]}, "uncased"),
        ({"type": "NFD"}, "cased"),
    ],
)
def test_a_tokenizer_file_says_its_casing(
    tmp_path: Path, normalizer: dict[str, Any] | None, casing: str, caplog: pytest.LogCaptureFixture
) -> None:
    words = {word: index for index, word in enumerate(vocabulary(cased=True))}
    values = {"normalizer": normalizer, "model": {"type": "WordPiece", "vocab": words}}
    (tmp_path / TOKENIZER).write_text(json.dumps(values), "utf-8")
    sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    network = {"model_type": "bert", "vocab_size": len(words), **dict.fromkeys(sizes, 2)}
    (tmp_path / CONFIG).write_text(json.dumps(network), "utf-8")
    assert read_configuration(tmp_path).tokenizer.casing == casing


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"do_lower_case": "maybe"}, "do_lower_case 'maybe'"),
        ({"strip_accents": "x"}, "strip_accents 'x'"),
        ({"tokenize_chinese_chars": []}, "tokenize_chinese_chars"),
    ],
)
def test_a_tokenizer_config_of_other_types(folder: Path, values: dict[str, object], message: str) -> None:
    assert message in refused(content(TOKENIZER_CONFIG, json.dumps(values)), folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"score_diff_threshold": NaN}', "NaN is not a number"),
        ('{"score_diff_threshold": -Infinity}', "-Infinity is not a number"),
        ('{"score_diff_threshold": 1e999}', "score_diff_threshold inf"),
        ('{"score_diff_threshold": 1e300}', "score_diff_threshold 1e+300"),
        ('{"score_diff_threshold": "x"}', "score_diff_threshold 'x'"),
        ('{"score_diff_threshold": "2"}', "score_diff_threshold '2'"),
        ('{"score_diff_threshold": true}', "score_diff_threshold True"),
        ('{"calibration": {"slope": -1}}', "calibration.slope -1"),
        ('{"calibration": {"slope": NaN}}', "NaN is not a number"),
        ('{"calibration": {"intercept": 1e308}}', "calibration.intercept 1e+308"),
        ('{"calibration": {"log_windows": -1e999}}', "calibration.log_windows -inf"),
        ('{"calibration": 3}', "calibration 3"),
        ('{"schema_version": 2}', "schema_version 2"),
        ('{"x": 1}', "unknown key 'x'"),
        ('{"calibration": {"slop": 1}}', "unknown key 'calibration.slop'"),
        (json.dumps(dict.fromkeys(map(str, range(1000)), 1)), "and 997 more"),
        ('{"windows": {"max_seq_length": 100000, "doc_stride": 1}}', "more than 32 windows"),
        ('{"windows": {"max_seq_length": 384, "doc_stride": 1}}', "doc_stride 1 puts each token into more than 32"),
        ('{"windows": {"max_seq_length": 513}}', "max_position_embeddings 512 are too few for windows"),
        ('{"windows": {"max_seq_length": 384, "doc_stride": 0}}', "windows.doc_stride 0"),
        ('{"windows": {"max_query_length": 380}}', "leaves gaps"),
    ],
)
def test_settings_that_would_spoil_every_score(folder: Path, text: str, message: str) -> None:
    assert message in refused(content(SETTINGS, text), folder)


def test_positions_that_do_not_reach_the_usual_window(folder: Path) -> None:
    """A base model for a training with short windows opens; a score by longer ones is refused."""
    state = load_file(folder / SAFETENSORS)
    name = "bert.embeddings.position_embeddings.weight"
    save_file(state | {name: state[name][:64].clone()}, folder / SAFETENSORS)
    config(max_position_embeddings=64)(folder)
    checkpoint = open_checkpoint(str(folder))
    checkpoint.check_windows(WindowConfig(max_seq_length=64, doc_stride=16, max_query_length=16))
    with pytest.raises(CheckpointError, match=r"config\.json: max_position_embeddings 64 are too few"):
        checkpoint.check_windows(checkpoint.settings.windows)


@pytest.mark.parametrize(
    "spec",
    [
        "",
        " ",
        "../../etc/no",
        "a/../../etc@main",
        "a/b@../../x",
        "bert@../../../etc",
        "a/b@refs/heads/../../x",
        "a/b@",
        "--x/y",
        "user/na me",
        "x/y\n",
        "x/y@a\nb",
        "x/y@" + "a" * 5000,
        "a" * 5000,
        "/" + "a" * 5000,
        "/dev/null",
        "~nobody-of-this-name/x",
        "x/y#sha256:abc",
        "x/y@main#" + "0" * 64,
        "../x#sha256:" + "0" * 64,
        "C:\\x",
        "\\\\host\\x",
        "http://evil/x",
        "a\0b",
        "é/x",
    ],
)
def test_a_name_that_leads_nowhere_is_one_short_line(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("asked the hub"))
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(spec)
    message = str(caught.value)
    assert len(message) < 400 and message.isprintable()


def test_a_hub_that_answers_nonsense_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def nonsense(*_: object, **__: object) -> str:
        raise json.JSONDecodeError("Expecting value", "<html>\n", 0)

    monkeypatch.setattr("huggingface_hub.snapshot_download", nonsense)
    with pytest.raises(CheckpointError, match="cannot get a/b@v1 from the model hub"):
        open_checkpoint("a/b@v1")
