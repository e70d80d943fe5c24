import os
import signal

import pytest
import torch

from asr_seq2seq import Recognizer
from asr_seq2seq.model_file import ModelFile


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*use of fork")
def test_a_recognizer_that_was_used_works_in_a_forked_child(tiny_model: ModelFile, make_sounds) -> None:
    recognizer, (sound,) = Recognizer(tiny_model), make_sounds(8000)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        text = recognizer.transcribe(sound).text
        (torch.ones(1 << 22) + 1).sum()  # enough for two threads
        child = os.fork()
        if not child:
            signal.alarm(60)
            right = recognizer.transcribe(sound).text == text and (torch.ones(1 << 22) + 1).sum() == 1 << 23
            os._exit(0 if right else 3)
        assert os.waitpid(child, 0)[1] == 0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
