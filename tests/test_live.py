"""Live streams with a transcriber whose answers are typed by hand; the speech in them is real."""

from __future__ import annotations

from importlib.resources import as_file, files

from distilcli.config import LiveOptions, SequentialOptions, TranscribeOptions
from distilcli.listener import Listener
from distilcli.live import Live
from distilcli.types import Audio, Segment, Span, Transcript, Word
from tests.support.speech import samples


class Ears(Listener):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.dropped_ones: list[Segment] = []

    def segment(self, source: str, segment: Segment) -> None:
        self.segments.append(segment)

    def dropped(self, source: str, segment: Segment) -> None:
        self.dropped_ones.append(segment)


def test_times_are_the_streams_and_nothing_is_hidden() -> None:
    with as_file(files("distilcli.assets").joinpath("demo.mp3")) as path:
        sound = samples(path)[: 20 * 16_000]
    asked: list[tuple[float, TranscribeOptions]] = []

    def transcribe(audio: Audio, options: TranscribeOptions) -> Transcript:
        asked.append((audio.duration, options))
        said = Segment(
            f" Number {len(asked)}.", Span(0.5, 1.0), words=(Word(" Number", Span(0.5, 0.8), 1.0, (1,)),)
        )
        return Transcript((said,), "en", audio.duration, dropped=(Segment(" Noise.", Span(0.0, 0.5)),))

    ears, kept = Ears(), list[Segment]()
    options = TranscribeOptions(
        prefix="Well,",
        live=LiveOptions(refresh=0, pad=0.0),
        sequential=SequentialOptions(condition_on_previous_text=True),
    )
    live = Live("talk", transcribe, options, ears)
    live.remember([Segment(" Before.", Span(0.0, 100.0))])
    result = live.run([sound[first : first + 4000] for first in range(0, len(sound), 4000)], kept.append)
    assert len(asked) >= 2, "the recording has pauses"
    assert [one.prefix for _, one in asked] == ["Well,", *[None] * (len(asked) - 1)]
    assert asked[0][1].sequential.initial_prompt == " Before."
    assert str(asked[1][1].sequential.initial_prompt).endswith("Number 1.")
    before, *found = result.segments
    assert (before.text, ears.segments, found) == (" Before.", [before, *found], kept)
    assert result.dropped == tuple(ears.dropped_ones)
    assert len(result.dropped) == len(asked)
    assert all(one.span.start >= 100.0 for one in found)
    for one, noise in zip(found, result.dropped, strict=True):
        assert one.words[0].span.start == one.span.start
        assert abs(one.span.start - noise.span.start - 0.5) < 1e-9
    assert result.duration == 120.0
