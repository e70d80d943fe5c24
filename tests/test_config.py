import tomllib
from pathlib import Path

import pytest

from asr_seq2seq.errors import ConfigError
from asr_seq2seq.recipes import load_config, load_language_model_config, to_yaml
from asr_seq2seq.training_config import Config, LanguageModelConfig, validate

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_settings_are_read_and_the_rest_is_default(tmp_path: Path) -> None:
    text = "seed: 7\ndata: {train: a.jsonl, dev: [b.jsonl, c.jsonl]}\ntraining: {learning_rate: 1e-3}\n"
    config = load_config(write(tmp_path, text))
    assert config.seed == 7
    assert config.data.train == ["a.jsonl"]
    assert config.data.dev == ["b.jsonl", "c.jsonl"]
    assert config.training.learning_rate == 1e-3
    assert config.model == Config().model


@pytest.mark.parametrize("text", ["", "# only a comment\n", "{}"])
def test_an_empty_recipe_is_all_defaults(tmp_path: Path, text: str) -> None:
    assert load_config(write(tmp_path, text)) == Config()


def test_overrides_win_and_the_last_one_wins(tmp_path: Path) -> None:
    overrides = [
        "training.epochs=10",
        "training.epochs=11",
        "model.decoder.attention=dot",
        "model.encoder.layers=[{units: 3, reduction: 2}]",
        "data.dev=a=b.jsonl",
        "features.high_hertz=null",
        " decoding.beam_size = 2",
    ]
    config = load_config(write(tmp_path, "training: {epochs: 2}\nmodel:\n"), overrides)
    assert config.training.epochs == 11
    assert config.model.decoder.attention == "dot"
    assert [(layer.units, layer.reduction) for layer in config.model.encoder.layers] == [(3, 2)]
    assert config.data.dev == ["a=b.jsonl"]
    assert config.features.high_hertz is None
    assert config.decoding.beam_size == 2


@pytest.mark.parametrize("override", ["epochs", "=3", "training..epochs=1", "training.=1", ".seed=1", ""])
def test_an_override_of_another_form_is_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match=r"path\.to\.key=value"):
        load_config(write(tmp_path, ""), [override])


def test_an_override_with_a_broken_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--set data.train=\[a"):
        load_config(write(tmp_path, ""), ["data.train=[a"])


@pytest.mark.parametrize(
    ("key", "nearest", "text"),
    [
        ("trainin", "training", "trainin: {epochs: 1}"),
        ("training.epoch", "training.epochs", "training: {epoch: 1}"),
        ("data.batch_second", "data.batch_seconds", "data: {batch_second: 1}"),
        (
            "features.spec_augment.time_mask",
            "features.spec_augment.time_masks",
            "features: {spec_augment: {time_mask: 1}}",
        ),
        ("model.ctcweight", "model.ctc_weight", "model: {ctcweight: 0.1}"),
        ("model.encoder.cel", "model.encoder.cell", "model: {encoder: {cel: gru}}"),
        (
            "model.encoder.layers.1.unit",
            "model.encoder.layers.1.units",
            "model: {encoder: {layers: [{units: 4}, {unit: 4}]}}",
        ),
        ("model.context.pool", "model.context.pooling", "model: {context: {pool: mean}}"),
        ("decoding.beam", "decoding.beam_size", "decoding: {beam: 1}"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_one(
    tmp_path: Path, key: str, nearest: str, text: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == f"{path}: unknown key `{key}`; the nearest valid key is `{nearest}`"


def test_an_unknown_key_of_an_override_is_named_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`model.decoder.unit`.*`model.decoder.units`"):
        load_config(write(tmp_path, ""), ["model.decoder.unit=1"])


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("seed", "seed: one"),
        ("seed", "seed: 1.5"),
        ("training.epochs", "training: {epochs: many}"),
        ("training.epochs", "training: {epochs: 0}"),
        ("training", "training: 3"),
        ("training.optimizer", "training: {optimizer: adamm}"),
        ("model.encoder.layers", "model: {encoder: {layers: 3}}"),
        ("model.encoder.layers", "model: {encoder: {layers: []}}"),
        ("model.encoder.layers.0.units", "model: {encoder: {layers: [{units: -1}]}}"),
        ("data.train", "data: {train: {a: b}}"),
        ("features.mels", "features: {mels: null}"),
        ("decoding.ctc_weight", "decoding: {ctc_weight: 1.0}"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(tmp_path: Path, key: str, text: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: `{key}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "features: {low_hertz: 5000, high_hertz: 4000}",
        "features: {high_hertz: 9000}",
        "model: {decoder: {heads: 3, attention_size: 128}}",
        "data: {dev: a.jsonl, dev_fraction: 0.1}",
        "1: 2",
    ],
)
def test_settings_that_exclude_each_other_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        load_config(write(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        "decoding: {length_reward: .nan}",
        "decoding: {length_reward: .inf}",
        "decoding: {lm_weight: -0.1}",
        "decoding: {temperature: 0}",
        "training: {learning_rate: .inf}",
        "data: {batch_seconds: .nan}",
        "augmentation: {speed_factors: [0.0]}",
        "augmentation: {speed_factors: [-1.0]}",
        "augmentation: {speed_factors: [.nan]}",
        "features: {hop_seconds: 1.0e-9}",
        "features: {window_seconds: 1.0e-9}",
    ],
)
def test_numbers_that_cannot_work_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        load_config(write(tmp_path, text))


def test_the_context_must_fit_the_decoder(tmp_path: Path) -> None:
    path = write(tmp_path, "model: {context: {size: 8}, decoder: {units: 9}}")
    with pytest.raises(ConfigError, match=r"context.size \(8\) must equal decoder.units \(9\)"):
        load_config(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing.yaml: no such recipe"):
        load_config(tmp_path / "nothing.yaml")


def test_a_folder_or_bytes_are_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"seed: \xe9\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "latin.yaml")


@pytest.mark.parametrize("text", ["a: [1, 2", "a: b: c", "\tseed: 1", "seed: !!python/object:os.system 1"])
def test_invalid_yaml_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="is not valid YAML") as caught:
        load_config(write(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["- 1\n- 2", "just words", "3"])
def test_a_recipe_is_a_table(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="must be a table"):
        load_config(write(tmp_path, text))


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().seed = 3  # type: ignore[misc]


def test_a_recipe_written_and_read_is_the_same(tmp_path: Path) -> None:
    tree = {
        "data": {"train": ["ä.jsonl", "null"], "batch_seconds": 1e-7},
        "features": {"high_hertz": 7600.0, "floor": 1e-10},
        "model": {"encoder": {"cell": "gru", "layers": [{"units": 3}]}},
        "augmentation": {"speed_factors": [0.9, 1.0, 1.1]},
    }
    for config in (Config(), validate(tree, "here")):
        assert load_config(write(tmp_path, to_yaml(config))) == config


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("**/*.yaml")), ids=lambda path: path.name)
def test_the_recipes_load(path: Path) -> None:
    load = load_language_model_config if "language_model.schema" in path.read_text() else load_config
    load(path)


def test_a_language_models_recipe_is_checked_alike(tmp_path: Path) -> None:
    path = write(tmp_path, "data: {train: [a.txt, b.jsonl], dev: c.txt}\ntraining: {epochs: 3}\n")
    config = load_language_model_config(path, ["model.units=7"])
    assert (config.data.dev, config.training.epochs, config.model.units) == (["c.txt"], 3, 7)
    assert load_language_model_config(write(tmp_path, to_yaml(config))) == config
    assert load_language_model_config(write(tmp_path, "")) == LanguageModelConfig()
    for text, problem in (
        ("model: {unit: 3}", "unknown key `model.unit`; the nearest valid key is `model.units`"),
        ("training: {speed_factors: [1.0]}", "unknown key `training.speed_factors`"),
        ("data: {dev: a, dev_fraction: 0.1}", "exclude each other"),
    ):
        with pytest.raises(ConfigError, match=problem):
            load_language_model_config(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("seed: !!python/object/apply:os.mkdir [canary]", "tags such as"),
        ("seed: !!bool maybe", "tags such as"),
        ("seed: 1\nseed: 2", "the key seed is given twice, line 2"),
        ("1: 2", "the key 1 is no text"),
        ("? [a]\n: 2", "a key must be a text"),
        ("data: &a {train: *a}", "nested too deeply"),
        ("seed: " + "[" * 5000, "nested too deeply"),
        ("seed: " + "9" * 5000, "not a number"),
        (
            "a0: &a0 [x]\n" + "\n".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]" for n in range(1, 9)),
            "aliases stand",
        ),
        (
            "a0: &a0 {x: 1}\n"
            + "\n".join(f"a{n}: &a{n} {{<<: [{f'*a{n - 1}, ' * 9}]}}" for n in range(1, 9)),
            "merges|unknown key",  # newer PyYAML merges each key once
        ),
        ("x" * 1_000_001, "more than 1,000,000 characters"),
    ],
)
def test_a_recipe_is_plain_small_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("recipe.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=reason) as caught:
        load_config("recipe.yaml")
    assert len(str(caught.value)) < 200
    assert not Path("canary").exists()


def test_what_an_alias_stands_for_is_changed_in_one_place_only(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "model:\n  encoder:\n    layers: [&layer {units: 7}, *layer]\n"
        "augmentation:\n  noise: &both {probability: 0.25}\n  reverberation: *both\n"
    )
    config = load_config(path, ["augmentation.noise.probability=0.75"])
    assert [layer.units for layer in config.model.encoder.layers] == [7, 7]
    assert (config.augmentation.noise.probability, config.augmentation.reverberation.probability) == (
        0.75,
        0.25,
    )


@pytest.mark.parametrize(
    "setting",
    [
        "features.mels=100000000",
        "model.encoder.layers=[{units: 1000000000}]",
        "decoding.batch_size=10000000000",
        f"training.epochs={10**80}",
        "training.learning_rate=.inf",
        'data.train="a\\0b"',
        "model.decoder.layers=1e9",
    ],
)
def test_absurd_settings_are_refused_in_one_short_line(tmp_path: Path, setting: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("")
    with pytest.raises(ConfigError) as caught:
        load_config(path, [setting])
    assert setting.partition("=")[0] in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_date_is_a_text(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("data: {train: 2026-11-28}")
    assert load_config(path).data.train == ["2026-11-28"]


def test_a_setting_has_one_old_name(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("search: {beam_size: 3, lm_weight: 0.5}\n")
    config = load_config(path, ["search.lm_weight=0.6", "decoding.ctc_weight=0.1"])
    assert (config.decoding.beam_size, config.decoding.lm_weight, config.decoding.ctc_weight) == (3, 0.6, 0.1)
    assert "decoding:" in to_yaml(config) and "search:" not in to_yaml(config)
    path.write_text("search: {beam_size: 3}\ndecoding: {beam_size: 4}\n")
    with pytest.raises(ConfigError, match="`search` is the old name of `decoding`; give one of them"):
        load_config(path)


def test_a_bundled_recipe_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config("fsdd").data.train == ["../shared/data/fsdd/train.jsonl"]


def test_the_later_source_of_dev_stands(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("data: {dev: a.jsonl}")
    data = load_config(recipe, ["data.dev_fraction=0.2"]).data
    assert (data.dev, data.dev_fraction) == ([], 0.2)
    data = load_config(recipe, ["data.dev_fraction=0.2", "data.dev=b.jsonl"]).data
    assert (data.dev, data.dev_fraction) == (["b.jsonl"], 0.0)


def test_every_package_is_installed() -> None:
    settings = tomllib.loads((CONFIGS.parent / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {"asr_seq2seq.configs", "asr_seq2seq"}
    for path in (CONFIGS.parent / "asr_seq2seq").rglob("__init__.py"):
        found.add(".".join(path.parent.relative_to(CONFIGS.parent).parts))
    assert set(settings["packages"]) == found
