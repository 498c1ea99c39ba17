"""The scorer judges dialogues without stopping the event loop, and long transcripts chunk by chunk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from test_scorer_encoder import one_thread, save_encoder  # noqa: F401
from test_scorer_fit import HELD, TRAIN, make_settings
from test_scorer_text import make_dialogue

from agents.errors import TrainerError
from agents.records import Item, Option, Question, Turn, Verdict
from trainers.scorer.fit import fit_scorer
from trainers.scorer.judge import ScorerJudge
from trainers.scorer.scorer import Score, Scorer, load_scorer
from trainers.scorer.settings import Example
from trainers.scorer.text import turns_text
from trainers.scorer.transcripts import average_by, score_transcript

QUESTION = Question("why ?", (Option("rain", correct=True), Option("sun")))
ITEM = Item("i", "area", "concept", (), "why ?", QUESTION, QUESTION)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    folder = tmp_path_factory.mktemp("scorers") / "asks-v1"
    encoder = save_encoder(tmp_path_factory.mktemp("encoder"))
    fit_scorer(TRAIN, HELD, make_settings(encoder), folder, corpus="made up")
    return load_scorer(folder)


def judge(judge: ScorerJudge, turns: Sequence[Turn]) -> Verdict:
    (verdict,) = asyncio.run(judge.judge(ITEM, turns, dialogue_id="d"))
    return verdict


def test_a_verdict_is_the_expected_score(scorer: Scorer) -> None:
    asks = make_dialogue("why rain", "what do you think rain ?").turns
    tells = make_dialogue("why rain", "the answer is rain").turns
    good, bad = judge(ScorerJudge(scorer), asks), judge(ScorerJudge(scorer), tells)
    assert (good.judge, good.name, good.kind, bad.kind) == ("scorer:asks-v1", "quality", "pass", "fail")
    assert good.score == pytest.approx(scorer.score([turns_text(asks)])[0].expected)
    assert "Trained on 90 rated dialogues of made up" in good.rationale and "on 0 to 1" in good.rationale
    assert bad.score is not None and good.score is not None and bad.score < 0.5 < good.score
    low, high = scorer.levels.low, scorer.levels.high
    assert good.unit_score == pytest.approx((good.score - low) / (high - low)) and 0.0 <= (bad.unit_score or 0.0) <= 1.0
    assert judge(ScorerJudge(scorer, pass_at=1.01), asks).kind == "fail"
    headed = judge(ScorerJudge(scorer, dimension="moon"), asks)
    assert headed.score == pytest.approx(scorer.score([turns_text(asks, dimension="moon")])[0].expected)
    long = make_dialogue("why " * 60, "what do you think ?").turns
    assert "tokens did not fit" in judge(ScorerJudge(scorer), long).rationale


def test_a_scorer_of_headed_texts_reads_each_dialogue_with_its_dimension(tmp_path: Path) -> None:
    def headed(examples: Sequence[Example]) -> list[Example]:
        """With a header that says more than the dialogue: a score without it is another one."""
        return [
            replace(example, text=f"Dimension: {'moon' if example.rating else 'sun'}\n{example.text}")
            for example in examples
        ]

    settings = make_settings(save_encoder(tmp_path / "encoder"))
    train, held = headed(TRAIN), headed(HELD)
    scorer = load_scorer(fit_scorer(train, held, settings, tmp_path / "headed").folder)
    turns = make_dialogue("why rain", "it falls because rain").turns
    (verdict,) = asyncio.run(ScorerJudge(scorer).judge(ITEM, turns, dialogue_id="d7", dimension="moon"))
    assert verdict.score == pytest.approx(scorer.score([turns_text(turns, dimension="moon")])[0].expected)
    assert verdict.score != pytest.approx(scorer.score([turns_text(turns)])[0].expected)
    with pytest.raises(TrainerError, match="dialogue 'd7' has none"):
        asyncio.run(ScorerJudge(scorer).judge(ITEM, turns, dialogue_id="d7"))
    with pytest.raises(TrainerError, match="90 of 114 texts begin with a dimension header"):
        fit_scorer(train, HELD, settings, tmp_path / "mixed")


def test_a_scorer_of_plain_texts_reads_no_dimension(scorer: Scorer) -> None:
    turns = make_dialogue("why rain", "what do you think rain ?").turns
    (verdict,) = asyncio.run(ScorerJudge(scorer).judge(ITEM, turns, dialogue_id="d", dimension="moon"))
    assert verdict.score == pytest.approx(scorer.score([turns_text(turns)])[0].expected)


@pytest.mark.parametrize("texts", [(), ("why ?",), ("why ?", " \n ")])
def test_no_tutor_text_is_invalid_and_not_low(scorer: Scorer, texts: tuple[str, ...]) -> None:
    verdict = judge(ScorerJudge(scorer), make_dialogue(*texts).turns)
    assert verdict.kind == "invalid" and verdict.score is None


class SlowScorer(Scorer):
    """A scorer that waits to be let go, and notices when it is entered twice."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__(scorer.folder, scorer._model, scorer.settings, scorer.about)
        self.go, self.inside, self.most = threading.Event(), 0, 0

    def score(self, texts: Sequence[str], *, batch_size: int | None = None) -> list[Score]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.go.wait(600)
        found = super().score(texts, batch_size=batch_size)
        self.inside -= 1
        return found


def test_the_event_loop_goes_on_and_the_model_is_used_by_one(scorer: Scorer) -> None:
    slow = SlowScorer(scorer)
    turns = make_dialogue("why", "what do you think ?").turns

    async def run() -> list[tuple[Verdict, ...]]:
        judge = ScorerJudge(slow)
        tasks = [asyncio.create_task(judge.judge(ITEM, turns, dialogue_id=str(n))) for n in range(4)]
        while not slow.inside:
            await asyncio.sleep(0.01)
        assert slow.inside == 1 and not any(task.done() for task in tasks)  # the loop runs while the model is busy
        tasks[0].cancel()
        await asyncio.sleep(0.05)
        assert slow.most == 1  # a cancelled caller does not let the next one in beside its thread
        slow.go.set()
        return await asyncio.gather(*tasks[1:])

    verdicts = asyncio.run(run())
    assert slow.most == 1 and len({verdict.score for (verdict,) in verdicts}) == 1


def test_a_transcript_is_the_mean_of_its_chunks(scorer: Scorer, tmp_path: Path) -> None:
    lesson = make_dialogue(*["why rain", "what do you think ?"] * 10, *["why rain", "the answer is rain"] * 10)
    found = score_transcript(scorer, lesson)
    assert len(found.chunks) == 2 and found.chunks[0].expected > found.chunks[1].expected
    assert found.expected == pytest.approx(sum(score.expected for score in found.chunks) / 2)
    assert average_by(["t1", "t2", "t1"], [1.0, 5.0, 2.0]) == {"t1": 1.5, "t2": 5.0}
    with pytest.raises(TrainerError, match="no turn with text"):
        score_transcript(scorer, make_dialogue(" "))
