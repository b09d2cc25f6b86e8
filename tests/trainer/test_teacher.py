"""The teacher answers with its own states, and leaves memory when nobody asks any more."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import WhisperForConditionalGeneration

from distilcli.trainer.teacher import Teacher
from tests.support.checkpoint import tiny_checkpoint

CPU = torch.device("cpu")


def test_its_states_and_matrix_give_the_logits_of_the_whole_model(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "teacher", layers=(1, 2))
    whole = WhisperForConditionalGeneration.from_pretrained(folder).eval()
    torch.manual_seed(0)
    mel, inputs = torch.randn(2, 80, 3000), torch.tensor([[50258, 50259, 50359, 7], [50361, 5, 50258, 50259]])
    with torch.no_grad():
        expected = whole(input_features=mel, decoder_input_ids=inputs).logits
        encoded = whole.model.encoder(mel).last_hidden_state
    for shares, given in ((True, (encoded, None)), (False, (None, mel))):
        teacher = Teacher(folder, device=CPU, dtype=torch.float32, shares_encoder=shares)
        logits = teacher.states(inputs, *given) @ teacher.head.T
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


def test_it_is_loaded_when_it_is_asked_and_freed_after_a_round_without_questions(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "teacher", layers=(1, 2))
    teacher = Teacher(folder, device=CPU, dtype=torch.float32, shares_encoder=True)
    question = (torch.tensor([[50258]]), torch.zeros(1, 1500, 16), None)
    seen = [teacher.loaded]
    first = teacher.states(*question)
    for _ in range(2):
        seen.append(teacher.loaded)
        teacher.release_if_idle()
    seen.append(teacher.loaded)
    assert seen == [False, True, True, False]
    assert torch.equal(teacher.states(*question), first)
