"""Statistics of experiments: pure functions over numbers, which know nothing of dialogues."""
