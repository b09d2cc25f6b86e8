"""ONNX Runtime: greedy tokens of an export for Transformers.js, decoded the way Transformers.js does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from distilcli.converters.onnx_js import FILES, FOLDER
from distilcli.converters.runners import ProbeAnswer, ProbeRequest
from distilcli.converters.runners.sound import features
from distilcli.errors import ModelError

_PAST, _PRESENT = "past_key_values.", "present."


def run(target: Path, request: ProbeRequest) -> ProbeAnswer:
    """Decode the recording greedily, from an empty cache on, feeding back every key and value.

    Raises:
        ModelError: `target` does not hold one encoder and one decoder.
    """
    encoder, decoder = (_session(target / FOLDER, name) for name in FILES.values())
    (states,) = encoder.run(None, {"input_features": features(request)[None]})
    outputs = [output.name for output in decoder.get_outputs()]
    cache = {
        one.name: np.zeros([size if isinstance(size, int) else 0 for size in (1, *one.shape[1:])], np.float32)
        for one in decoder.get_inputs()
        if one.name.startswith(_PAST)
    }
    tokens: list[int] = []
    margins: list[float] = []
    new = list(request.prompt)
    while len(tokens) < request.max_tokens and request.eot not in tokens:
        inputs = {"input_ids": np.array([new], np.int64), "encoder_hidden_states": states, **cache}
        found = dict(zip(outputs, decoder.run(None, inputs), strict=True))
        logits = found["logits"][0, -1]
        second, first = np.partition(logits, -2)[-2:]
        tokens.append(int(logits.argmax()))
        margins.append(float(first - second))
        new = tokens[-1:]
        cache = {name: found[name.replace(_PAST, _PRESENT)] for name in cache}
    return ProbeAnswer(tokens, margins)


def _session(folder: Path, name: str) -> Any:  # onnxruntime has no type information
    import onnxruntime

    found = sorted(folder.glob(f"{name}*.onnx"))
    if len(found) != 1:
        raise ModelError(f"{folder}: expected one {name}*.onnx, found {len(found)}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(str(found[0]), options, providers=["CPUExecutionProvider"])
