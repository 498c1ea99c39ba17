"""The ordinal quality scorer: a text encoder with a rank-consistent head that rates dialogues as its raters did."""
