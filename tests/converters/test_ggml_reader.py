"""GGML files back into tensors, and files that were made to harm: one clear error, bounded memory."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from distilcli.converters import ggml, ggml_reader, hf_layout
from distilcli.converters.checkpoint import open_checkpoint
from distilcli.converters.ggml_types import FORMATS
from distilcli.errors import ModelError
from tests.support.checkpoint import tiny_checkpoint
from tests.support.ggml_file import Parts, taken_apart
from tests.support.toy import toy_folder

END = b"<|endoftext|>"


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("reader") / "tiny", size=51864, dtype="float16")


@pytest.fixture(scope="module")
def tiny_file(tiny_folder: Path) -> Path:
    path = tiny_folder.with_suffix(".bin")
    ggml.write(open_checkpoint(tiny_folder), "f16", path)
    return path


@pytest.fixture(scope="module")
def parts(tiny_file: Path) -> Parts:
    return taken_apart(tiny_file)


def _read_all(path: Path) -> None:
    for read in ggml_reader.read(path).tensors.values():
        read()


@pytest.mark.parametrize(
    ("size", "n_mels", "dtype", "kind"),
    [(51864, 80, "float32", "f32"), (51865, 80, "float16", "f16"), (51866, 128, "float16", "f16")],
)
def test_round_trip_is_exact(size: int, n_mels: int, dtype: str, kind: str, tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "tiny", size=size, n_mels=n_mels, dtype=dtype, layers=(2, 1))
    source = open_checkpoint(folder)
    ggml.write(source, kind, tmp_path / "tiny.bin")
    hf_layout.write_imported(ggml_reader.read(tmp_path / "tiny.bin"), tmp_path / "imported", "tiny.bin")
    hf_layout.write(open_checkpoint(tmp_path / "imported"), dtype, tmp_path / "back")
    back = open_checkpoint(tmp_path / "back")
    assert back.dims == source.dims
    for name in source.names():
        assert torch.equal(back.tensor(name), source.tensor(name)), name


@pytest.mark.parametrize("kind", [name for name, form in FORMATS.items() if form.quantized])
def test_quantised_files_come_back_as_floats(kind: str, tmp_path: Path) -> None:
    source = open_checkpoint(toy_folder("multi"))
    ggml.write(source, kind, tmp_path / "toy.bin")
    found = ggml_reader.read(tmp_path / "toy.bin")
    assert found.dims == source.dims
    for name, read in found.tensors.items():
        assert str(read().dtype) == f"torch.{found.dtypes[name]}"


def test_end_of_text_in_the_vocabulary_is_accepted(parts: Parts, tmp_path: Path) -> None:
    """As in files of upstream's script for Hugging Face models."""
    words = struct.pack("<i", 50257) + parts.vocabulary[4:] + struct.pack("<i", len(END)) + END
    path = tmp_path / "upstream.bin"
    path.write_bytes(replace(parts, vocabulary=words).whole)
    hf_layout.write_imported(ggml_reader.read(path), tmp_path / "imported", "upstream.bin")
    open_checkpoint(tmp_path / "imported")


def test_vocabulary_of_another_language_model_is_refused(parts: Parts, tmp_path: Path) -> None:
    path = tmp_path / "other.bin"
    words = bytearray(parts.vocabulary)
    words[4 + 4] = ord("?")  # the one byte of token 0, "!"
    path.write_bytes(replace(parts, vocabulary=bytes(words)).whole)
    with pytest.raises(ModelError, match=r"expected token 0 to be b'!', found b'\?'"):
        hf_layout.write_imported(ggml_reader.read(path), tmp_path / "imported", "other.bin")
    assert not (tmp_path / "imported").exists()


def _number(place: int, value: int) -> Callable[[Parts], Parts]:
    """A change of one number of the header; 0 is the magic."""

    def change(parts: Parts) -> Parts:
        header = bytearray(parts.header)
        struct.pack_into("<i", header, 4 * place, value)
        return replace(parts, header=bytes(header))

    return change


def _first_tensor(offset: int, value: int) -> Callable[[Parts], Parts]:
    """A change of one number before the first tensor, the encoder's positions."""

    def change(parts: Parts) -> Parts:
        first = bytearray(parts.tensors[0])
        struct.pack_into("<i", first, offset, value)
        return replace(parts, tensors=(bytes(first), *parts.tensors[1:]))

    return change


def _words(offset: int, value: int) -> Callable[[Parts], Parts]:
    def change(parts: Parts) -> Parts:
        words = bytearray(parts.vocabulary)
        struct.pack_into("<i", words, offset, value)
        return replace(parts, vocabulary=bytes(words))

    return change


LIES: dict[str, tuple[Callable[[Parts], Parts], str]] = {
    "magic": (_number(0, 0x46554747), "is not a GGML file"),
    "vocabulary size": (_number(1, 50000), "51864, 51865 or 51866"),
    "another vocabulary": (_number(1, 51865), "expected a vocabulary of 50257 tokens, found 50256"),
    "giant width": (_number(3, 2**31 - 1), "n_audio_state"),
    "wider than the file": (_number(3, 4096), "n_text_state"),
    "negative heads": (_number(4, -2), "n_audio_head"),
    "heads that do not divide": (_number(4, 3), "n_audio_head to be a divisor"),
    "a million layers": (_number(5, 1_000_000), "n_audio_layer"),
    "one layer more": (_number(9, 2), r"tensor decoder\.blocks\.1\.\S+ is missing"),
    "mel bands": (_number(10, 79), "n_mels"),
    "file type": (_number(11, 2019), "found file type 2019"),
    "k-quants": (_number(11, 2012), "found file type 2012"),
    "first quantisation version": (_number(11, 1002), "found file type 1002"),
    "matrices of another type": (_number(11, 0), "expected the number format f32, found type 1"),
    "rows without blocks": (_number(11, 2002), "rows that are a multiple of 32"),
    "filters": (lambda parts: replace(parts, filters=struct.pack("<2i", 80, 2**30)), "80 x 201 mel filters"),
    "other filters": (
        lambda parts: replace(parts, filters=parts.filters[:8] + b"\0" * (len(parts.filters) - 8)),
        "not those of Whisper's features",
    ),
    "two billion tokens": (_words(0, 2**31 - 1), "found 2147483647"),
    "minus one token": (_words(0, -1), "found -1"),
    "a token of a gigabyte": (_words(4, 2**30), "tokens of at most 256 bytes"),
    "a token of minus one byte": (_words(4, -1), "tokens of at most 256 bytes"),
    "dimensions": (_first_tensor(0, 4), "4 dimensions"),
    "no dimensions": (_first_tensor(0, 0), "0 dimensions"),
    "endless name": (_first_tensor(4, 2**31 - 1), "a name of 2147483647 bytes"),
    "unknown type": (_first_tensor(8, 99), "expected the number format f32, found type 99"),
    "two billion rows": (_first_tensor(16, 2**31 - 1), "expected the shape"),
    "negative rows": (_first_tensor(16, -1500), "expected the shape"),
    "twice": (lambda parts: replace(parts, tensors=(*parts.tensors, parts.tensors[0])), "is there twice"),
    "missing": (lambda parts: replace(parts, tensors=parts.tensors[:-1]), "is missing"),
    "unknown name": (
        lambda parts: replace(
            parts,
            tensors=(parts.tensors[0].replace(b"encoder.pos", b"encoder.pox"), *parts.tensors[1:]),
        ),
        "does not belong to a Whisper",
    ),
    "trailing bytes": (lambda parts: replace(parts, tensors=(*parts.tensors, b"\0" * 7)), "is cut off"),
    "not a number": (
        lambda parts: replace(parts, tensors=(*parts.tensors[:-1], parts.tensors[-1][:-4] + b"\xff" * 4)),
        "holds NaN or infinity",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_refused_by_name(lie: str, parts: Parts, tmp_path: Path) -> None:
    change, message = LIES[lie]
    path = tmp_path / "lie.bin"
    path.write_bytes(change(parts).whole)
    with pytest.raises(ModelError, match=message) as caught:
        _read_all(path)
    assert str(path) in caught.value.message


def test_every_way_of_being_cut_off_is_refused(parts: Parts, tmp_path: Path) -> None:
    whole = parts.whole
    ends = [0, 3, 4, 30, 48, 52, 60, 5000, len(whole) - 1]
    ends += [len(parts.header) + len(parts.filters) + place for place in (2, 4, 9, 200_000)]
    after = len(whole) - sum(map(len, parts.tensors))
    for tensor in parts.tensors[:-1]:
        after += len(tensor)
        ends += [after, after + 5, after + 14, after + 40]
    path = tmp_path / "cut.bin"
    for end in ends:
        path.write_bytes(whole[:end])
        with pytest.raises(ModelError):
            _read_all(path)


HOSTILE = """
import random, resource, sys
from pathlib import Path
from distilcli.converters.ggml_reader import read
from distilcli.errors import ModelError

original, scratch = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
places = [int(place) for place in sys.argv[3].split(",")]
in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (in_use + 64_000_000,) * 2)
chance = random.Random(11)
refused = 0
for turn in range(1000):
    content = bytearray(original)
    for _ in range(chance.randint(1, 4)):
        place = chance.choice(places) + chance.randrange(24)
        if place < len(content):
            content[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    if turn % 5 == 0:
        content = content[: chance.randrange(len(content))]
    scratch.write_bytes(content)
    try:
        for tensor in read(scratch).tensors.values():
            tensor()
    except ModelError:
        refused += 1
print(refused)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the process's size from /proc")
def test_a_thousand_mutations_end_in_an_answer_or_one_clear_error(
    parts: Parts, tiny_file: Path, tmp_path: Path
) -> None:
    """In 64 MB beyond what the libraries take, on a file of 2.5 MB: nothing is allocated on a file's word."""
    start = len(parts.header) + len(parts.filters)
    tensors = [start + len(parts.vocabulary)]
    for tensor in parts.tensors:
        tensors.append(tensors[-1] + len(tensor))
    places = [*range(0, 60, 6), start, start, start + 5000, start + 300_000, *tensors]
    command = [sys.executable, "-P", "-c", HOSTILE, str(tiny_file), str(tmp_path / "mutated.bin")]
    done = subprocess.run([*command, ",".join(map(str, places))], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 500 < int(done.stdout) <= 1000
