"""Runs in YAML, TOML and JSON files, and everything that can be wrong with a file."""

import os
from pathlib import Path

import pytest

from planner.errors import InputError
from planner.run import TrainingRun, dumps, read_fields, read_mapping, read_run, write_run
from planner.run.files import MAX_FILE_BYTES

EXTENSIONS = ("yaml", "yml", "toml", "json")


def file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def sentence(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_run(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message.replace(str(path), "FILE")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.yaml", "model: gpt2\nmethod: qlora\nrank: 8\ntarget_modules: [q_proj, v_proj]\n"),
        ("run.YML", "model: gpt2\r\nmethod: QLoRA\r\nr: 8\r\ntarget_modules: q_proj,v_proj\r\n"),
        ("run.toml", 'model = "gpt2"\nmethod = "qlora"\nrank = 8\ntarget_modules = ["q_proj", "v_proj"]\n'),
        ("run.json", '{"model":"gpt2","method":"qlora","rank":8,"target_modules":["q_proj","v_proj"]}'),
        (
            "bom.json",
            b'\xef\xbb\xbf{"model":"gpt2","method":"qlora","rank":8,"target_modules":"q_proj v_proj"}',
        ),
    ],
)
def test_the_same_run_in_every_format(tmp_path: Path, name: str, content: str | bytes):
    run = TrainingRun(model="gpt2", method="qlora", rank=8, target_modules=("q_proj", "v_proj"))
    assert read_run(file(tmp_path, name, content)) == run
    assert read_run(str(tmp_path / name)) == run


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_written_run_reads_back(tmp_path: Path, extension: str):
    run = TrainingRun(model='a "quoted" \\ näme 😀', method="int8-lora", target_modules=r".*\.(q|v)_proj#: ")
    path = tmp_path / f"run.{extension}"
    write_run(run, path)
    assert read_run(path) == run


def test_a_file_holds_only_what_applies():
    full = TrainingRun(model="gpt2", method="full")
    for extension in EXTENSIONS:
        text = dumps(full, extension)
        assert "optimizer" in text
        assert "rank" not in text
    assert dumps(full, "toml").splitlines()[:2] == ['model = "gpt2"', 'method = "full"']
    assert dumps(full, "yaml").splitlines()[:2] == ["model: gpt2", "method: full"]
    assert dumps(full, "json").splitlines()[:3] == ["{", '  "model": "gpt2",', '  "method": "full",']


def test_flags_can_be_laid_over_the_fields_of_a_file(tmp_path: Path):
    path = file(tmp_path, "run.yaml", "model: gpt2\nper_device_train_batch_size: 4\nalpha: null\n")
    fields = read_fields(path)
    assert fields == {"model": "gpt2", "micro_batch_size": 4}
    assert TrainingRun(**(fields | {"micro_batch_size": 2})).micro_batch_size == 2


def test_fields_may_lack_a_model_that_a_flag_will_give(tmp_path: Path):
    assert read_fields(file(tmp_path, "run.toml", "rank = 8")) == {"rank": 8}


def test_read_mapping_leaves_the_names_alone(tmp_path: Path):
    assert read_mapping(file(tmp_path, "gpu.toml", "memory_gib = 24\n[rates]\nbf16 = 1.5\n")) == {
        "memory_gib": 24,
        "rates": {"bf16": 1.5},
    }


def test_yaml_reads_an_unquoted_no_as_false(tmp_path: Path):
    assert read_run(file(tmp_path, "run.yaml", "model: m\nmixed_precision: no\n")).mixed_precision == "no"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "run.json",
            '{"model": "m"',
            "FILE, line 1: cannot be read: Expecting ',' delimiter; correct the file",
        ),
        (
            "run.json",
            '{"model": "m",\n"model": "n"}',
            "FILE: cannot be read: 'model' is given twice; correct the file",
        ),
        ("run.json", '{"alpha": NaN}', "FILE: cannot be read: NaN is not a number in JSON; correct the file"),
        (
            "run.json",
            '{"alpha": -Infinity}',
            "FILE: cannot be read: -Infinity is not a number in JSON; correct the file",
        ),
        (
            "run.json",
            '{"model": "m", "alpha": 1e999}',
            "FILE: alpha must be a number above 0 and at most 1,000,000, not inf",
        ),
        ("run.json", "[1, 2]", "FILE must hold a mapping of fields to values, not a list"),
        ("run.json", '"model"', "FILE must hold a mapping of fields to values, not text"),
        ("run.json", "[" * 100_000, "FILE nests too deeply; write one flat mapping of fields"),
        (
            "run.yaml",
            "rank: 8\nrank: 9\n",
            "FILE, line 2: cannot be read: 'rank' is given twice; correct the file",
        ),
        ("run.yaml", "just text", "FILE must hold a mapping of fields to values, not text"),
        (
            "run.toml",
            "rank = 8\nrank = 9\n",
            "FILE: cannot be read: Cannot overwrite a value (at line 2, column 9); correct the file",
        ),
        ("run.toml", "a = " + "[" * 100_000, "FILE nests too deeply; write one flat mapping of fields"),
        (
            "run.toml",
            'model = "m"\nalpha = nan',
            "FILE: alpha must be a number above 0 and at most 1,000,000, not nan",
        ),
        (
            "run.toml",
            "model = 1979-05-27",
            "FILE: model must be text of 1 to 500 characters without control characters, not a value of type date",
        ),
        ("run.yaml", "model: m\nrnk: 8", "FILE: unknown field 'rnk'; did you mean 'rank'?"),
        ("run.yaml", "model: m\nrank: 0", "FILE: rank must be a whole number from 1 to 65,536, not 0"),
        (
            "run.yaml",
            "rank: 8",
            "FILE: model is missing; give a catalogue name, a Hugging Face id or the path of a config.json",
        ),
        ("run.yaml", b"model: \xff\xfe", "FILE, line 1: not UTF-8 text; save the file as UTF-8"),
        (
            "run.json",
            '{"model": "m"}'.encode("utf-16-le"),
            "FILE holds NUL bytes, so it is not UTF-8 text; save the file as UTF-8",
        ),
        ("run.json", b" " * (MAX_FILE_BYTES + 1), "FILE is larger than 1 MiB; that is no run file"),
        ("run.txt", "model: m", "FILE: the name of a run file must end in .yaml, .yml, .toml or .json"),
        ("run", "model: m", "FILE: the name of a run file must end in .yaml, .yml, .toml or .json"),
        *(
            (
                f"run.{extension}",
                content,
                "FILE is empty; write one field a line, such as `model: llama-3.1-8b`",
            )
            for extension, content in (
                ("json", ""),
                ("json", " \n"),
                ("toml", "# a\n"),
                ("yaml", "# a\n"),
                ("yml", ""),
            )
        ),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path: Path, name: str, content: str | bytes, message: str):
    assert sentence(file(tmp_path, name, content)) == message


def test_a_number_too_long_for_python_is_one_sentence(tmp_path: Path):
    for name, content in (("run.json", '{"rank": %s}'), ("run.toml", "rank = %s"), ("run.yaml", "rank: %s")):
        sentence(file(tmp_path, name, content % ("9" * 5000)))


def test_yaml_that_explodes_is_one_sentence(tmp_path: Path):
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    message = sentence(file(tmp_path, "run.yaml", "\n".join(lines)))
    assert "cannot be read: it expands to more than 10,000 values" in message


def test_a_path_that_is_no_file(tmp_path: Path):
    assert sentence(tmp_path / "none.yaml") == "cannot read FILE: no such file or directory; check the path"
    folder = tmp_path / "folder.yaml"
    folder.mkdir()
    assert sentence(folder) == "FILE is a folder; give the path of a run file"
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    assert sentence(pipe) == "FILE is not a regular file; give the path of a run file"
    link = tmp_path / "link.yaml"
    link.symlink_to(tmp_path / "gone.yaml")
    assert sentence(link) == "cannot read FILE: no such file or directory; check the path"
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    sentence(loop)


@pytest.mark.parametrize("path", ["a\0b.yaml", "\udc80.yaml", "line\nbreak.yaml", "x" * 5000 + ".yaml", ""])
def test_a_path_that_cannot_exist_is_one_printable_sentence(path: str):
    with pytest.raises(InputError) as caught:
        read_run(path)
    assert str(caught.value).isprintable()


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Root may read anything, so the refusal is the system's answer, made up."""

    def refuse(*_: object, **__: object):
        raise PermissionError(13, "Permission denied")

    path = file(tmp_path, "run.yaml", "model: m")
    monkeypatch.setattr(Path, "open", refuse)
    assert sentence(path) == "cannot read FILE: permission denied; check the path"


def test_a_run_that_cannot_be_written(tmp_path: Path):
    with pytest.raises(InputError, match=r"cannot write .*/run\.yaml: no such file or directory; choose another"):
        write_run(TrainingRun(model="m"), tmp_path / "nowhere" / "run.yaml")
    with pytest.raises(InputError, match="cannot be written as 'xml'; choose yaml, yml, toml or json"):
        dumps(TrainingRun(model="m"), "xml")
    with pytest.raises(InputError, match=r"must end in \.yaml, \.yml, \.toml or \.json"):
        write_run(TrainingRun(model="m"), tmp_path / "run.ini")
