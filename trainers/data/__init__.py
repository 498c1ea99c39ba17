"""Tutoring corpora in and out: human dialogues read, split, selected, contrasted and written."""

from agents.engines.forms import OPENER
from trainers.data.chat import preference_trees, to_tree, tutor_system_for
from trainers.data.contrasts import Contrast, contrasts, contrasts_counted
from trainers.data.corpus import Corpus
from trainers.data.files import BadRow
from trainers.data.quality import rating, select_quality
from trainers.data.read import FORMATS, read_corpus
from trainers.data.split import folds, split_corpus
from trainers.data.write import write_convolearn, write_preferences_jsonl, write_sft_jsonl

__all__ = [
    "FORMATS",
    "OPENER",
    "BadRow",
    "Contrast",
    "Corpus",
    "contrasts",
    "contrasts_counted",
    "folds",
    "preference_trees",
    "rating",
    "read_corpus",
    "select_quality",
    "split_corpus",
    "to_tree",
    "tutor_system_for",
    "write_convolearn",
    "write_preferences_jsonl",
    "write_sft_jsonl",
]
