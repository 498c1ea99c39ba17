"""A chat is its messages, whichever way it is read, and stays so on the wire."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from agents.engines.chat import Chat

said = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text()), max_size=8)


@given(said, st.slices(8))
def test_a_chat_equals_the_list_of_its_messages(pairs: list[tuple[str, str]], part: slice) -> None:
    chat, messages = Chat(pairs), [{"role": role, "content": text} for role, text in pairs]
    assert chat == messages and messages == chat and len(chat) == len(messages)
    assert list(chat) == messages and chat[part] == messages[part] and list(reversed(chat)) == messages[::-1]
    assert [chat[place] for place in range(-len(pairs), len(pairs))] == messages + messages
    assert pickle.loads(pickle.dumps(chat)) == chat  # what Ray does with it between two of our own processes


def test_a_chat_differs_from_another() -> None:
    chat = Chat([("user", "Why?")])
    assert chat != Chat([("assistant", "Why?")]) and chat != [] and chat != "Why?"
    assert hash(chat) == hash(Chat([("user", "Why?")]))
