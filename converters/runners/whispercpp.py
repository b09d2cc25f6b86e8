"""whisper.cpp, through pywhispercpp's binding: greedy tokens of a GGML file.

A file that whisper.cpp cannot load, and some that it can, end the process. It writes the prompt itself, and
never emits what its own decoder suppresses: languages, tasks, and timestamps after no-timestamps.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from distilcli.converters.runners import ProbeAnswer, ProbeRequest
from distilcli.converters.runners.sound import samples
from distilcli.errors import EnvironmentProblem, ModelError
from distilcli.tokens import Vocab

_F32 = 0
_RUNS_F32 = (1, 9, 2)
"""First version whose convolutions take float32; earlier ones abort."""


def run(target: Path, request: ProbeRequest) -> ProbeAnswer:
    """Decode the recording once, without fallback.

    Raises:
        ModelError: whisper.cpp would write another prompt.
        EnvironmentProblem: this whisper.cpp would abort on the file.
    """
    import _pywhispercpp as binding

    context = _load(binding, target)
    vocab = Vocab(binding.whisper_n_vocab(context))
    params = binding.whisper_full_default_params(binding.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY)
    for name, value in {
        "n_threads": 1,
        "language": _language(vocab, request),
        "no_timestamps": True,
        "single_segment": True,
        "suppress_blank": False,
        "max_tokens": request.max_tokens,
        # What whisper.cpp takes for silence or for a loop is an answer here, too.
        "no_speech_thold": 1.0,
        "entropy_thold": 0.0,
        "logprob_thold": -1e9,
        "temperature_inc": 0.0,
        "print_progress": False,
    }.items():
        setattr(params, name, value)
    sound = samples(request.audio)
    binding.whisper_full(context, params, sound, sound.size)
    tokens = [
        int(binding.whisper_full_get_token_id(context, segment, place))
        for segment in range(binding.whisper_full_n_segments(context))
        for place in range(binding.whisper_full_n_tokens(context, segment))
    ]
    return ProbeAnswer(tokens[: request.max_tokens])


def _load(binding: Any, target: Path) -> Any:
    params = binding.whisper_context_default_params()
    params.use_gpu = False
    params.flash_attn = False  # its padding without a mask shifts logits by up to 0.2
    context = binding.whisper_init_from_file_with_params(str(target), params)
    running = version(binding)
    if binding.whisper_model_ftype(context) == _F32 and running < _RUNS_F32:
        found, needed = (".".join(map(str, numbers)) for numbers in (running, _RUNS_F32))
        raise EnvironmentProblem(
            f"whisper.cpp {found} (in pywhispercpp) crashes on f32 files; expected {needed} or newer",
            hint="pip install --upgrade pywhispercpp",
        )
    return context


def version(binding: Any) -> tuple[int, ...]:
    """Version of whisper.cpp; all zeros where it does not say. The binding itself has no word for it."""
    function = getattr(ctypes.CDLL(binding.__file__), "whisper_version", None)
    if function is None:
        return (0, 0, 0)
    function.restype = ctypes.c_char_p
    return tuple(int(number) for number in function().decode().split("."))


def _language(vocab: Vocab, request: ProbeRequest) -> str:
    """The language that makes whisper.cpp write the prompt that is asked for."""
    code = "en"
    if vocab.multilingual and len(request.prompt) > 1:
        place = request.prompt[1] - vocab.sot - 1
        code = vocab.languages[place] if 0 <= place < len(vocab.languages) else code
    prompt = tuple(vocab.prefix(code, timestamps=False))
    if prompt != tuple(request.prompt):
        raise ModelError(
            f"whisper.cpp starts from the tokens {prompt}; it cannot start from {request.prompt}"
        )
    return code
