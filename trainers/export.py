"""Training data for other trainers: the conversational JSONL that TRL and its relatives read.

One line per pair, `{"prompt": [messages], "chosen": [reply], "rejected": [reply]}`, or one per dialogue,
`{"messages": [...]}`. The order is that of the trees and their pairs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from agents.files import written
from trainers.trees import Tree


def preference_records(trees: Iterable[Tree]) -> Iterator[dict[str, Any]]:
    """Yields one prompt/chosen/rejected record per pair."""
    for tree in trees:
        for pair in tree.pairs:
            yield {
                "prompt": [dict(message) for message in tree.messages[: pair.prefix]],
                "chosen": [{"role": "assistant", "content": pair.chosen}],
                "rejected": [{"role": "assistant", "content": pair.rejected}],
            }


def conversation_records(trees: Iterable[Tree]) -> Iterator[dict[str, Any]]:
    """Yields one `messages` record per dialogue, up to the learner's last reply."""
    for tree in trees:
        last = max((i for i, message in enumerate(tree.messages) if message["role"] == "assistant"), default=-1)
        if last >= 0:
            yield {"messages": [dict(message) for message in tree.messages[: last + 1]]}


def export_preferences(trees: Iterable[Tree], path: Path) -> int:
    """Writes all pairs as JSONL and returns how many there are."""
    return _write(preference_records(trees), path)


def export_conversations(trees: Iterable[Tree], path: Path) -> int:
    """Writes all dialogues as JSONL and returns how many there are."""
    return _write(conversation_records(trees), path)


def _write(records: Iterable[dict[str, Any]], path: Path) -> int:
    count = 0
    with written(path) as file:
        for record in records:
            file.write((json.dumps(record, ensure_ascii=False) + "\n").encode())
            count += 1
    return count
