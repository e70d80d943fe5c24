import gc

import pytest

from asr_seq2seq.garbage import importing, without_collection


def test_collection_is_as_it_was_afterwards() -> None:
    assert gc.isenabled()
    with without_collection():
        assert not gc.isenabled()
        with without_collection():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), without_collection():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_what_is_imported_is_set_aside() -> None:
    before = gc.get_freeze_count()
    try:
        with importing():
            pass
        assert gc.get_freeze_count() > before
        assert gc.isenabled()
    finally:
        gc.unfreeze()
