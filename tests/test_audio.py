"""Recordings from files, tracks, standard input, URLs and arrays, and every kind of bad input."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from faster_whisper.audio import decode_audio
from numpy.typing import NDArray

from distilcli.audio import Probe, Track, from_array, probe
from distilcli.errors import InputError
from tests.support.media import KINDS, Kind, babble, write, write_kind, write_video, write_wav
from tests.support.recordings import complaint, decoded


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILCLI_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", ["two words.mp3", "http: a talk, 50%.mp3", "größe-日本.mp3"])
def test_names_are_only_names(tmp_path: Path, name: str) -> None:
    samples, _ = decoded(write_kind(tmp_path / "a.mp3", KINDS["mp3"], 1.0).rename(tmp_path / name))
    assert len(samples) == 16_000


@pytest.fixture
def two_tracks(tmp_path: Path) -> Path:
    tracks = ({"language": "eng", "title": "speaker"}, {"language": "ger"})
    kind = Kind(".mkv", "flac", 16_000, "mono")
    return write(tmp_path / "two.mkv", babble(2.0), kind, tracks=tracks, video=True)


def test_choosing_a_track(two_tracks: Path) -> None:
    first = babble(2.0)[:, 0].astype(np.float32) / 32768
    np.testing.assert_array_equal(decoded(two_tracks)[0], first)
    np.testing.assert_array_equal(decoded(two_tracks, track=1)[0], first)
    np.testing.assert_array_equal(decoded(two_tracks, track=2)[0], np.roll(first, 1_600))


@pytest.mark.parametrize("track", [0, 3])
def test_a_track_that_is_not_there(two_tracks: Path, track: int) -> None:
    message = complaint(two_tracks, track=track)
    assert f"has no audio track {track}; it has 1 (flac, 1 ch, 16000 Hz, eng, speaker); 2 (" in message


def test_a_track_of_a_plain_wav_file(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", babble(1.0))
    assert len(decoded(path, track=1)[0]) == 16_000
    assert "it has 1 (pcm_s16le, 1 ch, 16000 Hz)" in complaint(path, track=2)


def test_probe(two_tracks: Path, tmp_path: Path) -> None:
    found = probe(two_tracks)
    assert found.duration == pytest.approx(2.0, abs=0.05)
    assert found.tracks == (
        Track(1, "flac", 1, 16_000, "eng", "speaker"),
        Track(2, "flac", 1, 16_000, "ger"),
    )
    assert probe(write_video(tmp_path / "silent.mp4")).tracks == ()
    mp3 = probe(write_kind(tmp_path / "a.mp3", KINDS["mp3"], 2.0))
    assert mp3 == Probe(pytest.approx(2.0, abs=0.1), (Track(1, "mp3", 2, 44_100),))


_READ_STDIN = """
import sys
from distilcli.audio import open_audio
with open_audio("-") as audio:
    sys.stdout.buffer.write(audio.samples[:].tobytes())
"""


@pytest.mark.parametrize("name", ["m4a-aac", "wav-16k-mono"])  # the index of the first is at its end
def test_standard_input(tmp_path: Path, name: str) -> None:
    path = write_kind(tmp_path / f"a{KINDS[name].suffix}", KINDS[name], 2.0)
    done = subprocess.run(
        [sys.executable, "-c", _READ_STDIN], input=path.read_bytes(), capture_output=True, check=True
    )
    np.testing.assert_array_equal(np.frombuffer(done.stdout, np.float32), decode_audio(str(path)))


def test_empty_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    assert complaint("-") == "standard input: the file is empty (0 bytes)"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe(tmp_path: Path) -> None:
    path = write_kind(tmp_path / "a.m4a", KINDS["m4a-aac"], 1.0)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=partial(pipe.write_bytes, path.read_bytes()))
    writer.start()
    samples, _ = decoded(pipe)
    writer.join()
    np.testing.assert_array_equal(samples, decode_audio(str(path)))


class _Server(BaseHTTPRequestHandler):
    """Serves one recording; the path says what goes wrong."""

    recording = b""

    def do_GET(self) -> None:
        if self.path == "/moved.mp3":
            self.send_response(302)
            self.send_header("Location", "/a.mp3?token=1")
            self.end_headers()
        elif self.path.startswith(("/a.mp3", "/cut.mp3")):
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.recording)))
            self.end_headers()
            self.wfile.write(self.recording[: 999 if "cut" in self.path else None])
        elif self.path == "/page.html":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html><body>Please log in</body></html>" * 50)
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    _Server.recording = write_kind(tmp_path / "served.mp3", KINDS["mp3"], 2.0).read_bytes()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


@pytest.mark.parametrize("page", ["a.mp3", "moved.mp3"])
def test_a_url(server: str, page: str, tmp_path: Path) -> None:
    samples, _ = decoded(f"{server}/{page}")
    np.testing.assert_array_equal(samples, decode_audio(str(tmp_path / "served.mp3")))


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        ("missing.mp3", "the server answers 404 Not Found"),
        ("page.html", "expected audio or video, found text"),
        ("cut.mp3", "the connection ended after 999 of"),
    ],
)
def test_a_url_without_a_recording(server: str, page: str, problem: str) -> None:
    message = complaint(f"{server}/{page}")
    assert message.startswith(f"{server}/{page}: {problem}")


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert "http://127.0.0.1:1/a.mp3: cannot be fetched: " in complaint("http://127.0.0.1:1/a.mp3")


def test_a_missing_file(tmp_path: Path) -> None:
    assert complaint(tmp_path / "no.mp3") == f"{tmp_path / 'no.mp3'}: there is no such file"


def test_a_name_that_cannot_be() -> None:
    assert complaint("a\0b") == r"'a\x00b': cannot be opened: embedded null byte"


def test_a_folder(tmp_path: Path) -> None:
    assert "expected a recording, found a folder" in complaint(tmp_path)


def test_an_unreadable_file(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", babble(1.0))
    path.chmod(0)
    root = hasattr(os, "geteuid") and os.geteuid() == 0  # may read everything, unless it steps down
    if not root and os.access(path, os.R_OK):
        pytest.skip("this system lets everybody read")
    try:
        if root:
            os.seteuid(65_534)
        with pytest.raises(InputError, match="may not be read by this user"):
            probe(path)
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that opens but cannot be read")
def test_a_file_that_fails_while_it_is_read() -> None:
    assert complaint("/proc/self/mem") == "/proc/self/mem: cannot be read: Input/output error"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("empty.mp3", b"", "the file is empty (0 bytes)"),
        ("text.mp3", b"Dear all, the minutes follow.\n" * 200, "expected audio or video, found text"),
        ("text.wav", b"Dear all, the minutes follow.\n" * 200, "expected audio or video, found text"),
        ("zeros.m4a", bytes(10_000), "expected audio or video, found only zeros"),
        (
            "noise.bin",
            np.random.default_rng(0).bytes(50_000),
            "expected audio or video, found data of an unknown kind",
        ),
    ],
)
def test_a_file_that_is_no_recording(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert complaint(tmp_path / name).startswith(f"{tmp_path / name}: {problem}")


def test_audio_that_cannot_be_decoded(tmp_path: Path) -> None:
    path = write_kind(tmp_path / "a.flac", KINDS["flac"], 2.0)
    data = path.read_bytes()
    path.write_bytes(data[:9_000].ljust(len(data), b"\0"))  # the header is whole, the audio is not
    assert complaint(path).startswith(f"{path}: the audio cannot be decoded")


def test_a_video_without_sound(tmp_path: Path) -> None:
    path = write_video(tmp_path / "silent.mp4")
    assert complaint(path) == f"{path}: expected an audio track, found only video"


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2)])
def test_no_samples_at_all(tmp_path: Path, rate: int, channels: int) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros((0, channels), np.int16), rate)
    assert "holds no samples" in complaint(path)


@pytest.mark.parametrize("name", ["wav-16k-mono", "flac", "mp3"])
def test_a_tenth_of_a_second(tmp_path: Path, name: str) -> None:
    path = write_kind(tmp_path / f"a{KINDS[name].suffix}", KINDS[name], 0.1)
    samples, _ = decoded(path)
    np.testing.assert_array_equal(samples, decode_audio(str(path)))
    assert len(samples) == 1_600


def test_silence_is_audio(tmp_path: Path) -> None:
    samples, warnings = decoded(write_wav(tmp_path / "a.wav", np.zeros(16_000, np.int16)))
    assert len(samples) == 16_000
    assert not samples.any()
    assert not warnings


def test_arrays() -> None:
    samples = babble(1.0)[:, 0]
    audio = from_array(samples, "array")
    assert (audio.name, audio.duration) == ("array", 1.0)
    np.testing.assert_array_equal(audio.samples[:], samples.astype(np.float32) / 32768)
    assert from_array(samples / 32768.0, "doubles").samples[:].dtype == np.float32


@pytest.mark.parametrize(
    ("samples", "problem"),
    [
        (np.zeros((2, 100), np.float32), "expected mono samples of shape (n,), found shape (2, 100)"),
        (np.zeros(0, np.float32), "found shape (0,)"),
        (np.zeros(10, np.int64), "expected float or int16 samples, found int64"),
        (np.array([0.0, np.nan]), "not finite"),
    ],
)
def test_arrays_that_are_no_recording(samples: NDArray, problem: str) -> None:
    with pytest.raises(InputError, match="array: ") as caught:
        from_array(samples, "array")
    assert problem in caught.value.message
