"""Whether a tutor turn gives the answer away: the entry is `find_leaks`, in `find`.

The way of a text: `normal` (one form), `reading` (numbers, with `quantities`, `units`, `spoken` and `wordlists`),
`moods` (sentences and how they are meant); of a question: `answers` and `formulas`. Then `statements`, `numbers`,
`letters` and `everyday` say what of the answer is given away.
"""

from agents.judges.leaks.answers import telling_words
from agents.judges.leaks.find import confirms, find_leaks, said_first

__all__ = ["confirms", "find_leaks", "said_first", "telling_words"]
