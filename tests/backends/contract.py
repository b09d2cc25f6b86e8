"""What every backend must do, as one suite; `test_contract.py` runs it against each of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from distilcli.backends.base import Aligner, Backend
from distilcli.config import DecodeOptions
from distilcli.errors import UsageError
from distilcli.types import Hypothesis, Span, Window
from tests.support.toy import toy_tokens

GREEDY = DecodeOptions(beam_size=1)
Clips = dict[str, Window]


def tokens_of(hypotheses: list[Hypothesis]) -> list[tuple[int, ...]]:
    """The tokens alone."""
    return [hypothesis.tokens for hypothesis in hypotheses]


class BackendContract:
    """For any backend whose fixture `backend` knows the toy clips, in float32."""

    def test_nothing_asked_is_nothing_answered(self, backend: Backend) -> None:
        assert backend.decode([], GREEDY) == []
        assert backend.detect_language([]) == []

    def test_answers_come_in_the_order_of_the_windows(self, backend: Backend, clips: Clips) -> None:
        names = ["fall", "rise", "fall", "fall", "rise"]
        answers = backend.decode([clips[name] for name in names], GREEDY)
        assert tokens_of(answers) == [toy_tokens(backend.tokenizer, name) for name in names]

    def test_a_batch_answers_as_its_windows_do_alone(self, backend: Backend, clips: Clips) -> None:
        prompt = tuple(backend.tokenizer.encode(" Once upon a time."))
        windows = [
            *clips.values(),
            replace(clips["rise"], prompt=prompt),
            replace(clips["fall"], prompt=prompt[:2]),
        ]
        together = backend.decode(windows, GREEDY)
        alone = [backend.decode([window], GREEDY)[0] for window in windows]
        assert tokens_of(together) == tokens_of(alone)
        assert [one.avg_logprob for one in together] == pytest.approx(
            [one.avg_logprob for one in alone], abs=1e-5
        )

    def test_silence_is_told_from_speech(self, backend: Backend, clips: Clips) -> None:
        silence, speech = backend.decode([clips["silence"], clips["rise"]], DecodeOptions())
        assert backend.tokenizer.decode(silence.tokens).strip() == ""
        assert silence.no_speech_prob > 0.6
        assert speech.no_speech_prob < 0.1

    def test_likelihoods_are_mean_logarithms(self, backend: Backend, clips: Clips) -> None:
        for answer in backend.decode([clips["rise"], clips["fall"]], DecodeOptions()):
            assert -0.1 < answer.avg_logprob < 0

    def test_the_language_of_a_window_comes_back(self, backend: Backend, clips: Clips) -> None:
        windows = [clips["rise"], clips["fall"]]
        assert [answer.language for answer in backend.decode(windows, GREEDY)] == ["en", "de"]

    def test_language_probabilities_add_up_and_the_best_comes_first(
        self, backend: Backend, clips: Clips
    ) -> None:
        for probabilities in backend.detect_language(list(clips.values())):
            assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4)
            assert list(probabilities.values()) == sorted(probabilities.values(), reverse=True)
            assert probabilities.keys() <= set(backend.tokenizer.vocab.languages)


class ModelContract(BackendContract):
    """For backends that run a model: `fresh` is the test's own, and counts encoded windows."""

    def test_a_prompt_is_read_and_not_written(self, backend: Backend, clips: Clips) -> None:
        prompt = tuple(backend.tokenizer.encode(" Once upon a time."))
        plain, prompted = backend.decode([clips["fall"], replace(clips["fall"], prompt=prompt)], GREEDY)
        assert prompted.tokens == plain.tokens == toy_tokens(backend.tokenizer, "fall")
        assert prompted.avg_logprob != plain.avg_logprob

    def test_a_prompt_longer_than_half_the_context_keeps_its_end(
        self, backend: Backend, clips: Clips
    ) -> None:
        words = tuple(backend.tokenizer.encode(" Once upon a time.") * 100)
        long, cut = backend.decode(
            [replace(clips["fall"], prompt=words), replace(clips["fall"], prompt=words[-223:])], GREEDY
        )
        assert long == cut

    def test_without_timestamps_only_text_is_written(self, backend: Backend, clips: Clips) -> None:
        for beams in (1, 5):
            options = DecodeOptions(timestamps=False, beam_size=beams)
            (answer,) = backend.decode([clips["rise"]], options)
            assert answer.tokens == toy_tokens(backend.tokenizer, "rise", timestamps=False)

    @pytest.mark.parametrize("beams", [1, 5])
    @pytest.mark.parametrize("limit", [1, 2, 7])
    def test_max_new_tokens_means_what_it_says(
        self, backend: Backend, clips: Clips, beams: int, limit: int
    ) -> None:
        prompt = tuple(backend.tokenizer.encode(" Once upon a time."))
        whole = toy_tokens(backend.tokenizer, "rise", timestamps=False)
        options = DecodeOptions(timestamps=False, beam_size=beams, max_new_tokens=limit)
        for answer in backend.decode([clips["rise"], replace(clips["rise"], prompt=prompt)], options):
            assert answer.tokens == whole[:limit]

    def test_suppressed_tokens_are_not_written(self, backend: Backend, clips: Clips) -> None:
        lamps = backend.tokenizer.encode(" lamps")[0]
        options = DecodeOptions(beam_size=1, suppress_tokens=(-1, lamps), max_new_tokens=20)
        (answer,) = backend.decode([clips["fall"]], options)
        assert lamps in toy_tokens(backend.tokenizer, "fall")
        assert lamps not in answer.tokens

    def test_the_language_of_a_clip_is_detected(self, backend: Backend, clips: Clips) -> None:
        found = backend.detect_language([clips["fall"], clips["rise"]])
        assert [next(iter(probabilities)) for probabilities in found] == ["de", "en"]
        assert set(found[0]) == set(backend.tokenizer.vocab.languages)

    def test_an_unknown_language_is_refused_before_any_work(self, fresh: Backend, clips: Clips) -> None:
        with pytest.raises(UsageError, match="'tlh'"):
            fresh.decode([clips["rise"], replace(clips["fall"], language="tlh")], GREEDY)
        assert fresh.encoded_windows == 0

    def test_each_window_is_encoded_once(self, fresh: Backend, clips: Clips) -> None:
        windows = [clips["rise"], clips["fall"]]
        fresh.detect_language(windows[:1])
        fresh.decode(windows, GREEDY)
        fresh.decode(windows[1:], replace(GREEDY, temperature=0.4))
        fresh.decode([replace(windows[1], prompt=(11,))], GREEDY)
        assert fresh.encoded_windows == 2

    def test_windows_that_differ_in_sound_are_encoded_apart(self, fresh: Backend, clips: Clips) -> None:
        rise = clips["rise"]
        later = replace(rise, span=replace(rise.span, start=1.0))
        fresh.decode([rise, later, replace(rise, isolated=True), rise], GREEDY)
        assert fresh.encoded_windows == 3

    def test_sampling_gives_the_same_text_in_a_second_run(
        self, fresh: Backend, second: Backend, clips: Clips
    ) -> None:
        options = DecodeOptions(temperature=3.0, best_of=2, max_new_tokens=12)
        once, again = (one.decode([clips["rise"], clips["fall"]], options) for one in (fresh, second))
        assert once == again
        assert {answer.temperature for answer in once} == {3.0}
        assert tokens_of(once)[0] != toy_tokens(fresh.tokenizer, "rise")[:12]

    def test_every_text_token_has_its_time_in_the_order_of_the_text(
        self, backend: Aligner, clips: Clips
    ) -> None:
        names = ["fall", "silence", "rise", "fall"]
        windows = [clips[name] for name in names]
        texts = [
            Hypothesis(
                (backend.tokenizer.vocab.timestamp_begin,)
                if name == "silence"
                else toy_tokens(backend.tokenizer, name),
                -0.1,
                0.0,
            )
            for name in names
        ]
        times = backend.align(windows, texts, "transcribe")
        assert times[1] == ()
        assert times[3] == times[0] != times[2]
        for window, text, words in zip(windows, texts, times, strict=True):
            vocab = backend.tokenizer.vocab
            assert [word.tokens for word in words] == [(one,) for one in vocab.text_tokens(text.tokens)]
            bounds = [second for word in words for second in (word.span.start, word.span.end)]
            assert bounds == sorted(bounds)
            assert all(0 <= second <= window.span.duration for second in bounds)
            assert all(0.5 < word.probability <= 1 for word in words)

    def test_windows_are_aligned_as_they_are_alone(self, backend: Aligner, clips: Clips) -> None:
        windows = [clips["rise"], replace(clips["fall"], span=Span(1.0, 6.0)), clips["fall"]]
        texts = [
            Hypothesis(toy_tokens(backend.tokenizer, name), -0.1, 0.0) for name in ("rise", "fall", "rise")
        ]
        together = backend.align(windows, texts, "transcribe")
        for window, text, words in zip(windows, texts, together, strict=True):
            (alone,) = backend.align([window], [text], "transcribe")
            assert [word.span for word in words] == [word.span for word in alone]

    def test_alignment_encodes_nothing_that_was_decoded(self, fresh: Backend, clips: Clips) -> None:
        windows = [clips["rise"], clips["fall"], clips["silence"]]
        texts = fresh.decode(windows, GREEDY)
        fresh.decode(windows[1:2], replace(GREEDY, temperature=0.4))  # as the fallback does
        assert isinstance(fresh, Aligner)
        fresh.align(windows, texts, "transcribe")
        assert fresh.encoded_windows == 3

    @pytest.mark.parametrize("seconds", [0.0, 0.01, 0.05, 0.3])
    def test_the_shortest_windows_and_the_longest_texts_are_aligned(
        self, backend: Aligner, clips: Clips, seconds: float
    ) -> None:
        window = replace(clips["rise"], span=Span(0.0, seconds))
        text = Hypothesis(tuple(backend.tokenizer.encode(" a river" * 300)), -0.1, 0.0)
        (words,) = backend.align([window], [text], "translate")
        assert len(words) == len(text.tokens) > 448
        assert all(0 <= word.span.start <= word.span.end <= max(seconds, 0.02) for word in words)

    def test_nothing_to_align(self, backend: Aligner) -> None:
        assert backend.align([], [], "transcribe") == []

    def test_closing_twice_is_harmless(self, fresh: Backend) -> None:
        fresh.close()
        fresh.close()
