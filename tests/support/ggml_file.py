"""A GGML file taken apart, so that tests can change one thing in it: an independent account of the layout."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

HEADER_BYTES = 4 + 11 * 4
_BYTES_PER_VALUE = {0: 4, 1: 2}  # f32, f16


@dataclass(frozen=True)
class Parts:
    """A file of f32 and f16 tensors, in the order of its parts; `b"".join` of them is the file."""

    header: bytes
    filters: bytes
    vocabulary: bytes
    tensors: tuple[bytes, ...]

    @property
    def whole(self) -> bytes:
        """The file."""
        return b"".join((self.header, self.filters, self.vocabulary, *self.tensors))


def taken_apart(path: Path) -> Parts:
    """The parts of a file that whisper.cpp would load."""
    content = path.read_bytes()
    rows, columns = struct.unpack_from("<2i", content, HEADER_BYTES)
    words = HEADER_BYTES + 8 + 4 * rows * columns
    (count,) = struct.unpack_from("<i", content, words)
    end = words + 4
    for _ in range(count):
        end += 4 + struct.unpack_from("<i", content, end)[0]
    vocabulary, tensors = content[words:end], []
    while end < len(content):
        start = end
        n_dims, length, kind = struct.unpack_from("<3i", content, start)
        elements = 1
        for size in struct.unpack_from(f"<{n_dims}i", content, start + 12):
            elements *= size
        end = start + 12 + 4 * n_dims + length + elements * _BYTES_PER_VALUE[kind]
        tensors.append(content[start:end])
    return Parts(content[:HEADER_BYTES], content[HEADER_BYTES:words], vocabulary, tuple(tensors))
