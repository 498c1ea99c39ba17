"""The tiny model as a folder, made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import build_model, build_tokenizer

# Models this small are slower on two threads than on one, and much slower where another process has a core.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model and its tokenizer as a Hugging Face folder."""
    folder = tmp_path_factory.mktemp("tiny")
    build_model().save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """The tokenizer alone."""
    return build_tokenizer()
