"""What a config file holds, whatever it is written in and whatever it is called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from planner.trainer_configs.document import LARGEST, find_file, read_document


def written(folder: Path, content: str | bytes, name: str = "config.yaml") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_yaml_json_and_a_script_say_the_same(tmp_path: Path) -> None:
    files = {
        "a.yaml": "learning_rate: 2.0e-4\nlora_r: 8\n",
        "b.json": '{"learning_rate": 2e-4, "lora_r": 8}',
        "c.sh": "#!/bin/bash\npython train.py --learning_rate 2e-4 --lora_r 8\n",
    }
    yaml, json, script = (read_document(written(tmp_path, text, name)) for name, text in files.items())
    assert yaml.settings == json.settings == {"learning_rate": 2e-4, "lora_r": 8}
    assert script.settings == {"learning_rate": "2e-4", "lora_r": "8"}  # words, which a reader makes numbers of
    assert (yaml.words, script.words) == ((), ("python", "train.py"))


def test_what_a_file_is_called_says_nothing(tmp_path: Path) -> None:
    json = written(tmp_path, '{"zero_optimization": {"stage": 2}}', "deepspeed.yaml")
    yaml = written(tmp_path, "lora_r: 8", "run.json")
    script = written(tmp_path, "torchrun train.py --lora_r 8", "run.txt")
    assert read_document(json).settings == {"zero_optimization": {"stage": 2}}
    assert read_document(yaml).settings == {"lora_r": 8}
    assert read_document(script).settings == {"lora_r": "8"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "config.yaml is empty; give the config of a run"),
        (" \n\t\n", "config.yaml is empty; give the config of a run"),
        ("# a comment alone\n", "config.yaml holds no settings; give the config of a run"),
        ("- a\n- b\n", "config.yaml must hold a mapping of settings, or a command line, not a list"),
        ("just words", "config.yaml must hold a mapping of settings, or a command line, not text"),
        (b"\xff\xfe\x00a", "config.yaml, line 1: not UTF-8 text; save the file as UTF-8"),
        ("a: \0", "config.yaml holds NUL bytes, so it is not UTF-8 text; save the file as UTF-8"),
        ("a: 1\nb: [1\n", "config.yaml, line 3: cannot be read: "),
        ("a: !!python/name:os.system\n", "config.yaml, line 1: cannot be read: the tag "),
        ("a: !include b.yaml\n", "config.yaml, line 1: cannot be read: the tag '!include' is not allowed; remove it"),
        ('{"a": 1, "a": 2}', "config.yaml has the key 'a' twice; remove one"),
        ('{"a": ', "config.yaml is not JSON (line 1, column 7: Expecting value); check that it is complete"),
        ("python train.py --name 'open", "config.yaml: the command in it cannot be read (No closing quotation)"),
    ],
)
def test_what_is_no_config_is_said_in_a_sentence(
    content: str | bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, content)
    with pytest.raises(InputError) as refused:
        read_document("config.yaml")
    assert str(refused.value).startswith(said)
    assert refused.value.field == "config"


@pytest.mark.parametrize("name", ["run.toml", "train.py", "Untitled.ipynb"])
def test_what_may_be_given_for_a_config_is_said_to_be_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"(with --run|its settings as YAML)$"):
        read_document(written(tmp_path, "{}", name))


def test_what_is_no_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; check the path"):
        read_document(tmp_path / "nowhere.yaml")
    with pytest.raises(InputError, match="is a folder; give the path of a file"):
        read_document(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="is not a regular file"):
        read_document(pipe)
    with pytest.raises(InputError, match="has more than 1 MiB"):
        read_document(written(tmp_path, b"#" * (LARGEST + 1)))


def test_a_file_that_is_named_is_here_or_beside_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "configs"
    folder.mkdir()
    written(folder, "{}", "zero.json")
    monkeypatch.chdir(tmp_path)
    assert find_file("zero.json", folder) == folder / "zero.json"
    assert find_file("configs/zero.json", folder) == Path("configs/zero.json")
    assert find_file("configs", tmp_path) is find_file("nowhere.json", folder) is find_file("x" * 5000, folder) is None


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_any_content_is_a_document_or_an_error(tmp_path_factory: pytest.TempPathFactory, content: str | bytes) -> None:
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    try:
        document = read_document(path)
    except InputError:
        return
    assert document.settings or document.words or data.strip()
