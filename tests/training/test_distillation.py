"""A larger model that is fine-tuned first and teaches a smaller one: tiny random networks, a few steps each."""

from __future__ import annotations

import io
import json
import math
import tomllib
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import MPNetConfig, MPNetModel

from bioqa_pipeline.errors import CheckpointError, InputError, TrainingError
from bioqa_pipeline.qa.checkpoint import load_model, open_checkpoint
from bioqa_pipeline.qa.pins import Pin
from bioqa_pipeline.training import base_models
from bioqa_pipeline.training.base_models import give_bert_vocabulary, prepare_base, unpack_archive
from bioqa_pipeline.training.batches import Inputs, Plan, WindowsOnDevice
from bioqa_pipeline.training.data import build_training_set
from bioqa_pipeline.training.job import fine_tune
from bioqa_pipeline.training.losses import distillation_loss
from bioqa_pipeline.training.recipe import DistillationConfig, TrainingConfig, check_training_config, read_recipe
from bioqa_pipeline.training.teacher import ask_teacher
from bioqa_pipeline.training.trainer import TrainingResult, train
from support.checkpoints import make_checkpoint, vocabulary
from support.other_checkpoints import make_other_checkpoint
from support.squad_files import about_genes

MPNET_FRONT = ["<s>", "<pad>", "</s>", "<unk>"]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("student"), layers=1, tokenizer_config={"do_lower_case": True})


@pytest.fixture(scope="module")
def squad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return about_genes(tmp_path_factory.mktemp("squad") / "train.json", 60, held_out=True)


@pytest.fixture(scope="module")
def mpnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MPNet encoder whose vocabulary is the tests' BERT vocabulary with MPNet's own tokens around it."""
    folder = tmp_path_factory.mktemp("mpnet")
    words = [*MPNET_FRONT, *vocabulary(cased=False), "<mask>"]
    config = MPNetConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=514,
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = MPNetModel(config)
        torch.nn.init.normal_(model.embeddings.word_embeddings.weight)
    save_file(dict(model.state_dict()), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config.to_dict()), "utf-8")
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    return folder


def recipe(base: str, squad: Path, **changes: object) -> dict[str, object]:
    plain: dict[str, object] = {
        "base_model": base,
        "data": [{"path": str(squad), "held_out": ["H"]}],
        "epochs": 1,
        "batch_tokens": 512,
        "warmup_steps": 2,
        "learning_rate": 2e-3,
        "logging_steps": 1,
        "save_steps": 4,
        "precision": "fp32",
        "dropout": 0.0,
    }
    return plain | changes


def test_an_mpnet_with_a_bert_vocabulary_reads_the_same_window(mpnet: Path, student: Path, tmp_path: Path) -> None:
    give_bert_vocabulary(mpnet, student, tmp_path / "base")
    words = vocabulary(cased=False)
    text = "[CLS] which gene [SEP] the gene causes cancer [SEP]".split()
    own = {"[CLS]": 0, "[SEP]": 2}
    before = MPNetModel.from_pretrained(mpnet).eval()
    after = MPNetModel.from_pretrained(tmp_path / "base").eval()
    with torch.no_grad():
        expected = before(torch.tensor([[own.get(t, words.index(t) + 4) for t in text]])).last_hidden_state
        found = after(torch.tensor([[words.index(t) for t in text]])).last_hidden_state
        padded = after(
            torch.tensor([[*(words.index(t) for t in text), 0, 0]]),
            attention_mask=torch.tensor([[1] * len(text) + [0, 0]]),
        ).last_hidden_state
    assert torch.equal(found, expected)
    assert torch.allclose(padded[:, : len(text)], expected, atol=1e-5)


def test_mpnet_with_its_own_vocabulary_is_refused(mpnet: Path, student: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="MPNet model with its own vocabulary"):
        open_checkpoint(str(mpnet))
    with pytest.raises(CheckpointError, match="only an MPNet model"):
        give_bert_vocabulary(student, student, tmp_path / "base")
    small = tmp_path / "small"
    small.mkdir()
    for name in ("config.json", "model.safetensors"):
        (small / name).write_bytes((mpnet / name).read_bytes())
    (small / "vocab.txt").write_text("\n".join(MPNET_FRONT) + "\n<mask>\n", "utf-8")
    with pytest.raises(CheckpointError, match=r"lacks .* tokens"):
        give_bert_vocabulary(small, student, tmp_path / "base")


def test_a_base_model_in_the_pieces_of_one_zip(
    mpnet: Path, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in mpnet.iterdir():
            archive.write(file, f"model/{file.name}")
        archive.writestr("model/1_Pooling/config.json", "{}")
    content = buffer.getvalue()
    third = len(content) // 3 + 1
    for number in range(3):
        piece = tmp_path / "site" / f"part_{number}" / f"m.zip.00{number}"
        piece.parent.mkdir(parents=True)
        piece.write_bytes(content[number * third : (number + 1) * third])
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    config = TrainingConfig.model_validate(
        recipe("archive:part_*/m.zip.*", Path("x"), vocabulary=str(student), data=[{"path": "x"}])
    )
    base = Path(prepare_base(config, tmp_path / "out" / "base"))
    assert open_checkpoint(str(base)).config.hidden_size == 32
    assert prepare_base(config, tmp_path / "out" / "base") == str(base)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["_bioqa.json", "base"]

    pin = Pin("f" * 40, {"config.json": "0" * 64})
    monkeypatch.setattr(base_models, "pin_of", {"archive:part_*/m.zip.*": pin}.get)
    with pytest.raises(CheckpointError, match=r"config\.json has SHA-256 .*, but 0+ is pinned; .* unpack the zip"):
        unpack_archive("archive:part_*/m.zip.*", tmp_path / "another")
    (tmp_path / "site" / "part_2" / "m.zip.002").unlink()
    with pytest.raises(CheckpointError, match="2 pieces do not make a whole zip"):
        unpack_archive("archive:part_*/m.zip.*", tmp_path / "other")
    with pytest.raises(CheckpointError, match="the extra `teacher` brings them"):
        unpack_archive("archive:nowhere_*/m.zip.*", tmp_path / "other")


def test_an_archive_that_unpacks_to_more_than_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "part").mkdir()
    with zipfile.ZipFile(tmp_path / "part" / "m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", bytes(1 << 20))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(base_models, "ARCHIVE_BYTES", 1 << 16)
    with pytest.raises(CheckpointError, match=r"config\.json of the archive has more than 65,536 bytes"):
        unpack_archive("archive:part/m.zip", tmp_path / "base")
    for pattern in ("", "/etc/*", "../*"):
        with pytest.raises(CheckpointError, match="below Python's package folders"):
            unpack_archive(f"archive:{pattern}", tmp_path / "base")


def test_frozen_layers_stay_as_they_are(mpnet: Path, student: Path, squad: Path, tmp_path: Path) -> None:
    config = TrainingConfig.model_validate(recipe(str(mpnet), squad, vocabulary=str(student), frozen_layers=2))
    train(config, tmp_path / "out", device="cpu")
    give_bert_vocabulary(mpnet, student, tmp_path / "base")
    before = load_file(tmp_path / "base" / "model.safetensors")
    after = load_file(tmp_path / "out" / "model.safetensors")
    changed = {k for k, v in after.items() if not k.startswith("qa_") and not torch.equal(v, before[k].half())}
    assert changed
    assert all(k.startswith("mpnet.encoder.layer.2.") for k in changed)
    assert not (tmp_path / "out" / "base").exists()
    with pytest.raises(TrainingError, match="the model has 3 layers"):
        train(config.model_copy(update={"frozen_layers": 4}), tmp_path / "other", device="cpu")


def test_distillation_loss_by_hand() -> None:
    torch.manual_seed(0)
    own, teacher = torch.randn(2, 5), torch.randn(2, 5)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    by_hand = 0.0
    for row, length in ((0, 5), (1, 3)):
        p = torch.softmax(teacher[row, :length] / 2, 0)
        q = torch.softmax(own[row, :length] / 2, 0)
        by_hand += float((p * (p / q).log()).sum()) / 2 * 4
    assert math.isclose(float(distillation_loss(own, teacher, mask, temperature=2)), by_hand, rel_tol=1e-5)
    assert float(distillation_loss(teacher, teacher, mask, temperature=2)) == pytest.approx(0, abs=1e-6)


def test_a_teacher_is_asked_once_of_each_window_and_says_what_its_network_says(
    squad: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its own segments, too, which this student knows nothing of."""
    student = make_other_checkpoint(tmp_path / "student", "distilbert")
    larger = make_checkpoint(tmp_path / "larger", seed=3, tokenizer_config={"do_lower_case": True})
    base = open_checkpoint(str(student))
    windows = build_training_set(TrainingConfig.model_validate(recipe(str(student), squad)), base.tokenizer()).windows
    placed = WindowsOnDevice(windows, base.config, device="cpu")
    asked: list[int] = []

    def counted(self: Plan, number: int) -> Inputs:
        inputs = gathered(self, number)
        asked.extend(inputs["start_positions"].tolist())
        return inputs

    gathered = Plan.__getitem__
    monkeypatch.setattr(Plan, "__getitem__", counted)
    wanted = [0, 1, 2, 3, 5, 9]
    settings = DistillationConfig(teacher=str(larger))
    teaching = ask_teacher(settings, open_checkpoint(str(larger)), base, windows, placed, wanted)
    assert sorted(asked) == sorted(windows[i].start for i in wanted)
    assert teaching.logits.dtype == torch.float16
    network = load_model(open_checkpoint(str(larger)))
    for indices in ([0, 1, 2, 3], [5, 2, 9, 0]):
        inputs = Plan(placed, [indices])[0]
        with torch.no_grad():
            output = network(**{k: inputs[k] for k in ("input_ids", "attention_mask", "token_type_ids")})
        real = inputs["attention_mask"] == 1
        start, end = teaching.logits[:, inputs["places"]].float()
        assert torch.allclose(start[real], output.start_logits[real], atol=1e-2)
        assert torch.allclose(end[real], output.end_logits[real], atol=1e-2)

    other = make_checkpoint(tmp_path / "cased", cased=True)
    with pytest.raises(CheckpointError, match="needs the student's vocabulary"):
        ask_teacher(settings, open_checkpoint(str(other)), base, windows, placed, wanted)


def test_one_recipe_makes_the_teacher_and_then_the_student(
    mpnet: Path, student: Path, squad: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def toml(settings: dict[str, object]) -> str:
        lines = [f"{k} = {json.dumps(v)}" for k, v in settings.items() if k not in {"data", "distillation"}]
        if "distillation" in settings:
            lines += ["[distillation]", 'teacher = "teacher.toml"', "weight = 0.5", "temperature = 2.0"]
        return "\n".join([*lines, "[[data]]", f'path = "{squad.name}"', 'held_out = ["H"]', ""])

    (tmp_path / "teacher.toml").write_text(toml(recipe(str(mpnet), squad, vocabulary=str(student), seed=5)))
    (tmp_path / "recipe.toml").write_text(toml(recipe(str(student), squad, distillation=True)))
    config = read_recipe(tmp_path / "recipe.toml", data_root=squad.parent)
    made = fine_tune(config, tmp_path / "out", device="cpu")
    assert made.settings is not None
    assert open_checkpoint(str(tmp_path / "out")).config.model_type == "bert"
    (teacher,) = (tmp_path / "out" / "made_first").iterdir()
    assert teacher.name.startswith("teacher-")
    assert open_checkpoint(str(teacher)).config.model_type == "mpnet"
    kept = json.loads((tmp_path / "out" / "training.json").read_text())
    weights = sha256((teacher / "model.safetensors").read_bytes()).hexdigest()
    assert kept["teacher"]["sha256"]["model.safetensors"] == weights
    assert kept["base"]["sha256"] == dict(open_checkpoint(str(student)).files)
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"| model.safetensors | `{weights}` |" in card
    assert f"as well, revision `{kept['teacher']['revision']}`" in card
    # The teacher's words change the student.
    alone = fine_tune(config.model_copy(update={"distillation": None}), tmp_path / "alone", device="cpu")
    assert [p.loss for p in alone.training.history] != [p.loss for p in made.training.history]

    stamp = (teacher / "model.safetensors").stat().st_mtime_ns
    again = fine_tune(config, tmp_path / "out", device="cpu", overwrite=True)
    assert (teacher / "model.safetensors").stat().st_mtime_ns == stamp
    assert [p.loss for p in again.training.history] == [p.loss for p in made.training.history]


def test_a_recipe_may_start_from_what_another_makes(squad: Path, student: Path, tmp_path: Path) -> None:
    data = f'[[data]]\npath = "{squad.name}"\nheld_out = ["H"]\n'
    settings = recipe(str(student), squad)
    common = "".join(
        f"{k} = {json.dumps(v)}\n"
        for k, v in settings.items()
        if k not in {"data", "base_model", "seed", "distillation"}
    )
    (tmp_path / "first.toml").write_text(f'base_model = "{student}"\nseed = 1\n{common}{data}')
    (tmp_path / "second.toml").write_text(f'base_model = "first.toml"\nseed = 2\n{common}{data}')
    (tmp_path / "third.toml").write_text(f'base_model = "second.toml"\nseed = 3\n{common}{data}')
    made = fine_tune(read_recipe(tmp_path / "third.toml", data_root=squad.parent), tmp_path / "out", device="cpu")
    by_hand = str(student)
    for number, name in enumerate(("first", "second", "third"), start=1):
        text = (tmp_path / f"{name}.toml").read_text()
        config = check_training_config(
            {**tomllib.loads(text), "base_model": by_hand}, tmp_path / f"{name}.toml", data_root=squad.parent
        )
        alone = fine_tune(config, tmp_path / str(number), device="cpu")
        by_hand = str(tmp_path / str(number))
    assert [p.loss for p in made.training.history] == [p.loss for p in alone.training.history]

    first = next((tmp_path / "out" / "made_first").glob("first-*")) / "model.safetensors"
    stamp = first.stat().st_mtime_ns
    (tmp_path / "out" / "training.json").unlink()
    fine_tune(
        read_recipe(tmp_path / "third.toml", data_root=squad.parent), tmp_path / "out", device="cpu", overwrite=True
    )
    assert first.stat().st_mtime_ns == stamp


def test_recipes_that_lead_back_to_themselves_are_refused(squad: Path, tmp_path: Path) -> None:
    text = f'base_model = "b"\n[distillation]\nteacher = "recipe.toml"\n[[data]]\npath = "{squad.name}"\n'
    (tmp_path / "teacher.toml").write_text(text)
    (tmp_path / "recipe.toml").write_text(text.replace("recipe.toml", "teacher.toml"))
    with pytest.raises(InputError, match=r"recipe\.toml: needs itself to be made first"):
        read_recipe(tmp_path / "recipe.toml", data_root=squad.parent)
    given = text.replace(
        '"recipe.toml"', f'"x"\nteacher_recipe = {{base_model = "b", data = [{{path = "{squad.name}"}}]}}'
    )
    (tmp_path / "recipe.toml").write_text(given)
    with pytest.raises(InputError, match="leave them out"):
        read_recipe(tmp_path / "recipe.toml", data_root=squad.parent)


def test_what_two_recipes_need_is_made_once(
    mpnet: Path, student: Path, squad: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = f'\n[[data]]\npath = "{squad.name}"\nheld_out = ["H"]\n'
    taught = '\n[distillation]\nteacher = "teacher.toml"\n'
    short = "epochs = 1\nmax_steps = 2\nwarmup_steps = 1\n"
    (tmp_path / "teacher.toml").write_text(f'base_model = "{mpnet}"\nvocabulary = "{student}"\n{short}{data}')
    (tmp_path / "first.toml").write_text(f'base_model = "{student}"\n{short}{taught}{data}')
    (tmp_path / "second.toml").write_text(f'base_model = "first.toml"\nseed = 2\n{short}{taught}{data}')
    trained: list[str] = []

    def counted(config: TrainingConfig, out: Path, **options: Any) -> TrainingResult:
        trained.append(out.name.partition("-")[0])
        return train(config, out, **options)

    monkeypatch.setattr("bioqa_pipeline.training.job.train", counted)
    fine_tune(read_recipe(tmp_path / "second.toml", data_root=squad.parent), tmp_path / "out", device="cpu")
    assert trained == ["teacher", "first", "out"]
