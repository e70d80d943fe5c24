import os
import signal
from pathlib import Path

import pytest
import torch

from asr_seq2seq import Recognizer
from asr_seq2seq.model.files import ModelFile, save_model


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*use of fork")
def test_a_recognizer_that_was_used_works_in_a_forked_child(tiny_model: ModelFile, make_sounds) -> None:
    recognizer, (sound,) = Recognizer(tiny_model.loaded()), make_sounds(8000)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        text = recognizer.transcribe(sound, rate=8000).text
        (torch.ones(1 << 22) + 1).sum()  # enough for two threads
        child = os.fork()
        if not child:
            signal.alarm(60)
            right = (
                recognizer.transcribe(sound, rate=8000).text == text
                and (torch.ones(1 << 22) + 1).sum() == 1 << 23
            )
            os._exit(0 if right else 3)
        assert os.waitpid(child, 0)[1] == 0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*use of fork")
def test_sessions_are_made_anew_in_a_forked_child(tiny_model: ModelFile, make_sounds, tmp_path: Path) -> None:
    save_model(tmp_path / "m.safetensors", tiny_model)
    recognizer, (sound,) = Recognizer.load(tmp_path / "m.safetensors", threads=2), make_sounds(8000)
    text = recognizer.transcribe(sound, rate=8000).text
    child = os.fork()
    if not child:
        signal.alarm(60)
        os._exit(0 if recognizer.transcribe(sound, rate=8000).text == text else 3)
    assert os.waitpid(child, 0)[1] == 0
    assert recognizer.transcribe(sound, rate=8000).text == text
