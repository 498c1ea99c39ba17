"""The tape: keys by content, whole entries back, torn lines, dialogues that begin again."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engines.base import Completion, Message, Sampling, Score
from agents.engines.entries import Failed, Request, from_line, generation, scoring, to_line
from agents.engines.tape import Recorder, Recording
from agents.errors import EngineRefused, EngineUnavailable, InputError, StoreError
from agents.records import Usage

ASKED: list[Message] = [{"role": "user", "content": "Why is it warmer in summer?"}]
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
FLOAT = st.floats(allow_nan=False)
MESSAGE = st.builds(lambda role, text: Message(role=role, content=text), st.sampled_from(["user", "assistant"]), TEXT)
USAGE = st.builds(Usage, st.integers(0, 99), st.integers(0, 99), FLOAT, st.integers(0, 3), FLOAT)
COMPLETION = st.builds(
    Completion,
    TEXT,
    st.lists(st.integers(0, 2**40), max_size=3).map(tuple),
    st.lists(FLOAT, max_size=3).map(tuple),
    usage=USAGE,
    policy_version=TEXT,
)
SAMPLING = st.builds(
    Sampling,
    max_tokens=st.integers(1, 3),
    temperature=st.sampled_from([0, 0.0, 0.5]),
    n=st.integers(1, 2),
    opener=st.sampled_from(["", "Well,"]),
    stop=st.sampled_from([(), ("x",)]),
    schema=st.sampled_from([None, "{}"]),
)
REQUEST = st.one_of(
    st.tuples(st.just("generate"), st.sampled_from(["tutor", "student"]), st.lists(MESSAGE, max_size=2), SAMPLING),
    st.tuples(
        st.just("score"),
        st.sampled_from(["tutor", "student"]),
        st.lists(MESSAGE, max_size=2),
        st.lists(TEXT, max_size=2),
    ),
)


def request_of(asked: tuple[str, str, list[Message], object]) -> Request:
    kind, role, messages, rest = asked
    if kind == "generate":
        assert isinstance(rest, Sampling)
        return generation(role, messages, rest)
    assert isinstance(rest, list)
    return scoring(role, messages, rest)


def question(text: str = "Why?", role: str = "tutor") -> Request:
    return generation(role, [{"role": "user", "content": text}], Sampling())


def tell(recorder: Recorder, dialogue: str, *texts: str, request: Request | None = None) -> None:
    for text in texts:
        recorder.answer(recorder.ask(dialogue, request or question()), completions=[Completion(text)])


def told(folder: Path, dialogue: str) -> list[str]:
    entries = sorted(Recording(folder).entries(dialogue), key=lambda entry: entry.asked)
    return [one.text for entry in entries for one in entry.completions or ()]


@given(REQUEST, REQUEST)
def test_keys_are_equal_where_the_requests_are(
    one: tuple[str, str, list[Message], object], other: tuple[str, str, list[Message], object]
) -> None:
    assert (request_of(one).key == request_of(other).key) == (one == other)
    kind, role, messages, rest = one
    assert request_of((kind, role, [*messages], rest)) == request_of(one)
    assert request_of((kind, role + "@other", messages, rest)).key != request_of(one).key


def test_a_message_cannot_pass_for_two() -> None:
    joined: list[Message] = [{"role": "user", "content": "a\nuser: b"}]
    apart: list[Message] = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    assert scoring("tutor", joined, []).key != scoring("tutor", apart, []).key
    assert scoring("tutor", apart, ["c", "d"]).key != scoring("tutor", apart, ["c\nd"]).key


@settings(deadline=None, max_examples=50)
@given(st.lists(st.one_of(st.lists(COMPLETION, max_size=2), st.lists(FLOAT, min_size=1, max_size=3)), max_size=5))
def test_answers_come_back_as_they_were(answers: list[list[Completion] | list[float]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder))
        recorder.begin("d")
        for answer in answers:
            asked = recorder.ask("d", question())
            if answer and isinstance(answer[0], float):
                recorder.answer(asked, scores=[Score(tuple(answer), Usage(1))])
            else:
                recorder.answer(asked, completions=answer)  # type: ignore[arg-type]
        recorder.close()
        entries = Recording(Path(folder)).entries("d")
    assert [entry.occurrence for entry in entries] == list(range(len(answers)))
    assert [entry.asked for entry in entries] == list(range(0, 2 * len(answers), 2))
    for entry, answer in zip(entries, answers, strict=True):
        if answer and isinstance(answer[0], float):
            assert entry.scores == (Score(tuple(answer), Usage(1)),)
        else:
            assert entry.completions == tuple(answer) and entry.scores is None
        assert from_line(json.loads(json.dumps(to_line(entry)))) == entry


def test_errors_come_back_with_class_and_message() -> None:
    class RefusedElsewhere(EngineRefused):
        pass

    for error in (EngineUnavailable("gone"), RefusedElsewhere("no"), ValueError("bad"), EngineRefused()):
        again = Failed.of(error).again()
        assert (type(again).__name__, str(again)) == (type(error).__name__, str(error))
        assert isinstance(again, EngineRefused) == isinstance(error, EngineRefused)
    assert type(Failed.of(EngineUnavailable("gone")).again()) is EngineUnavailable


def test_a_line_is_there_as_soon_as_it_is_written(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "new" / "tape")
    tell(recorder, "d", "one")
    assert told(tmp_path / "new" / "tape", "d") == ["one"]
    tell(recorder, "d", "two")
    assert told(tmp_path / "new" / "tape", "d") == ["one", "two"]
    assert Recording(tmp_path / "new" / "tape").seconds("d") is None
    assert recorder.end("d", 0.1 + 0.2) == 0.1 + 0.2
    assert Recording(tmp_path / "new" / "tape").seconds("d") == 0.1 + 0.2


def test_a_killed_writer_loses_its_last_line_at_most(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "whole")
    tell(recorder, "a", "one", "two")
    tell(recorder, "b", "three")
    recorder.close()
    (written,) = (tmp_path / "whole").iterdir()
    data = written.read_bytes()
    last = data.rstrip(b"\n").rindex(b"\n") + 1
    for cut in range(last, len(data)):
        cut_off = tmp_path / f"cut-{cut}"
        cut_off.mkdir()
        (cut_off / written.name).write_bytes(data[:cut])
        whole = cut == len(data) - 1  # only the line's end is missing
        assert Recording(cut_off).torn == (cut > last and not whole)
        assert told(cut_off, "a") == ["one", "two"]
        assert told(cut_off, "b") == (["three"] if whole else [])


def test_a_torn_line_elsewhere_is_an_error(tmp_path: Path) -> None:
    tell(Recorder(tmp_path), "a", "one", "two")
    (file,) = tmp_path.iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + lines[1][:20] + b"\n" + lines[2])
    with pytest.raises(StoreError, match=f"byte {len(lines[0])}.*torn.*record the run again"):
        Recording(tmp_path)


def test_a_line_that_is_no_request_is_an_error(tmp_path: Path) -> None:
    tell(Recorder(tmp_path), "a", "one")
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text().replace('"occurrence":0', '"occurrence":"never"'))
    with pytest.raises(StoreError, match="no request of a tape"):
        Recording(tmp_path).entries("a")


def test_a_dialogue_that_begins_again_replaces_what_was_recorded(tmp_path: Path) -> None:
    killed = Recorder(tmp_path)
    tell(killed, "a", "old", "older")
    tell(killed, "b", "kept")
    killed.end("b", 2.0)
    resumed = Recorder(tmp_path)
    resumed.begin("a")
    tell(resumed, "a", "new")
    assert told(tmp_path, "a") == ["new"] and told(tmp_path, "b") == ["kept"]
    assert (Recording(tmp_path).seconds("a"), Recording(tmp_path).seconds("b")) == (None, 2.0)
    resumed.end("a", 1.0)
    resumed.begin("a")
    tell(resumed, "a", "newest", "last")
    assert told(tmp_path, "a") == ["newest", "last"]
    assert Recording(tmp_path).seconds("a") is None, "the end before belongs to what was replaced"
    assert len(Recording(tmp_path)) == 2 and "a" in Recording(tmp_path) and "c" not in Recording(tmp_path)


def test_of_two_entries_with_one_key_the_later_wins(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    tell(recorder, "a", "first")
    (file,) = tmp_path.iterdir()
    (entry,) = Recording(tmp_path).entries("a")
    later = to_line(replace(entry, completions=(Completion("second"),)))
    (tmp_path / "tape-000001-0.jsonl").write_text(json.dumps(later) + "\n")
    assert told(tmp_path, "a") == ["second"]
    (tmp_path / "tape-000001-0.jsonl").rename(tmp_path / "tape-000000-.jsonl")  # sorts before the other file
    file.rename(tmp_path / "tape-000002-0.jsonl")
    (tmp_path / "tape-000002-0.jsonl").write_text(json.dumps(to_line(entry)) + "\n")
    assert told(tmp_path, "a") == ["first"]


def test_writers_do_not_share_a_file_and_the_later_sorts_behind(tmp_path: Path) -> None:
    first = Recorder(tmp_path)
    tell(first, "a", "one")
    second = Recorder(tmp_path)
    tell(second, "b", "two")
    tell(first, "a", "three")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name[:12] for name in names] == ["tape-000000-", "tape-000001-"]
    assert told(tmp_path, "a") == ["one", "three"] and told(tmp_path, "b") == ["two"]


def test_requests_that_nobody_waited_for_are_on_the_tape_without_an_answer(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    late = recorder.ask("a", question("slow"))
    tell(recorder, "a", "one")
    recorder.end("a", 1.0)
    recorder.answer(late, completions=[Completion("too late")])
    later = recorder.ask("a", question("after the end"))
    recorder.answer(later, completions=[Completion("much too late")])
    entries = Recording(tmp_path).entries("a")
    assert sorted((entry.words, entry.answered is None) for entry in entries) == [("Why?", False), ("slow", True)]
    assert told(tmp_path, "a") == ["one"]


def test_a_dialogue_without_requests_is_recorded_too(tmp_path: Path) -> None:
    Recorder(tmp_path).end("silent", 0.5)
    assert "silent" in Recording(tmp_path) and Recording(tmp_path).seconds("silent") == 0.5


def test_no_recording_and_no_room(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no recording in .*none.*run.record"):
        Recording(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot record into .*file.*run.record"):
        Recorder(tmp_path / "file").begin("a")
