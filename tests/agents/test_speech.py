"""What was said ends where a reply goes on in another's name, in every language and dress; content is left alone."""

from __future__ import annotations

import random

import pytest

from agents.records import Role
from agents.role_names import SIDES
from agents.speech import cut_at_role_break

BREAKS: list[tuple[str, Role, str]] = [
    ("Okay.\nTutor: It is the spin.\nStudent: Thanks.", "student", "Okay."),
    ("Okay. Tutor: The answer is", "student", "Okay."),
    ("Okay. Tutor: The Earth spins, so our side turns away from the sun. Student: oh ok.", "student", "Okay."),
    ("Okay.\n**Tutor:** It", "student", "Okay."),
    ("Okay.\n\n---\n\n**Tutor**: It", "student", "Okay."),
    ("Okay.\n### Student:\nhi", "tutor", "Okay."),
    ("Okay.\n### Student\nhi", "tutor", "Okay."),
    ("Okay.\n[Student] hi", "tutor", "Okay."),
    ("Okay.\n[Student]: hi", "tutor", "Okay."),
    ("Okay.<|im_end|>\n<|im_start|>user\nhi", "tutor", "Okay."),
    ("Okay.\n<|im_start|>user\nhi", "tutor", "Okay."),
    ("Ладно.\nУчитель: Земля вращается.\nУченик: Спасибо", "student", "Ладно."),
    ("Ладно. Учитель: Земля вращается.", "student", "Ладно."),
    ("D'accord.\nProfesseur : C'est la rotation.\nÉlève : Merci", "student", "D'accord."),
    ("D'accord. Élève : merci", "tutor", "D'accord."),
    ("好的。\n老师：是自转。", "student", "好的。"),
    ("好的。老师：是自转。学生：谢谢", "student", "好的。"),
    ("好的！导师： 是", "student", "好的！"),
    ("Vale.\nProfesor: Es", "student", "Vale."),
    ("Gut.\nLehrerin: Es", "student", "Gut."),
    ("Gut. Schüler: ja", "tutor", "Gut."),
    ("ok\ntutor: it spins\nstudent: thx", "student", "ok"),
    ("ok. tutor: it spins. student: thx", "student", "ok."),
    ("Okay Tutor: it spins Student: thx", "student", "Okay"),
    ("Okay 🙂 Tutor: it spins", "student", "Okay 🙂"),
    ("Okay.\nUser: hm", "tutor", "Okay."),
    ("Okay.\n\nHuman: hm", "tutor", "Okay."),
    ("Okay.\nassistant\nThe answer is 5", "student", "Okay."),
    ("Okay.\nAI: hm", "student", "Okay."),
    ("Okay.\nSystem: stop", "student", "Okay."),
    ("Student: I think so.\nTutor: Yes", "student", "I think so."),
    ("Tutor: What now?\nStudent: x", "tutor", "What now?"),
    ("Tutor: It spins", "student", ""),
    ("Student: It spins", "tutor", ""),
    ("\u200bTutor: It spins", "student", ""),
    ("Okay.\n> Tutor: It spins", "student", "Okay."),
    ("Okay.\n- Tutor: It spins\n- Student: ok", "student", "Okay."),
    ("Okay.\n1. Tutor: It spins", "student", "Okay."),
    ("Okay.\n*Tutor*: It spins", "student", "Okay."),
    ("Okay.\n<tutor>It spins</tutor>", "student", "Okay."),
    ("Okay.\nTutor (smiling): It spins", "student", "Okay."),
    ("Okay.\nTutor's response: It spins", "student", "Okay."),
    ("Okay.\nThe Tutor: It spins", "student", "Okay."),
    ("What do you see? **Student:** I see", "tutor", "What do you see?"),
    ("What do you see? *Student*: I see", "tutor", "What do you see?"),
    ("What do you see? [Student]: I see", "tutor", "What do you see?"),
    ('"What do you see?" Student: "I see"', "tutor", '"What do you see?"'),
    ("知道了\n學生：謝謝", "tutor", "知道了"),
    ("حسنًا.\nالمعلم: نعم", "student", "حسنًا."),
    ("わかった。先生：そうです", "student", "わかった。"),
    ("네. 선생님: 맞아요", "student", "네."),
    ("ठीक है। शिक्षक: हाँ", "student", "ठीक है।"),
    ("Okay.\n<start_of_turn>user\nhi", "tutor", "Okay."),
    ("Okay. [INST] hi", "tutor", "Okay."),
    ("Okay.</s>[INST] hi", "tutor", "Okay."),
    ("Okay.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nhi", "tutor", "Okay."),
    ("Okay.\nTeacher:It spins", "student", "Okay."),
    ("Okay.Tutor: It spins", "student", "Okay."),
    ("Okay!!\tTutor:\tIt spins", "student", "Okay!!"),
    ("Okay.\nTUTOR: It spins", "student", "Okay."),
    ("Okay.\nÉlève : merci", "tutor", "Okay."),
    ("Okay.\r\nTutor: It spins", "student", "Okay."),
    ("Okay.\n— Tutor: It spins", "student", "Okay."),
    ("Okay... (Tutor: It spins)", "student", "Okay..."),
    ('Okay.\n"Tutor: It spins"', "student", "Okay."),
    ("Okay.\n🧑\u200d🏫 Tutor: It spins", "student", "Okay."),
    ("Tutor:", "student", ""),
    ("Okay.\n**Tutor** – It is the spin.", "student", "Okay."),
    ("Okay.\n**Tutor** – it is the spin.", "student", "Okay."),
    ("Okay.\n**Tutor –** It is the spin.", "student", "Okay."),
    ("Okay.\n**Student** — Hm.", "tutor", "Okay."),
    ("Okay.\nTUTOR - It is the spin.", "student", "Okay."),
    ('Okay.\nSTUDENT -- "Hm."', "tutor", "Okay."),
    ("Okay.\n[Tutor] - it spins", "student", "Okay."),
    ("Okay. **Tutor** – It is the spin.", "student", "Okay."),
    ("Okay. TUTOR - It is the spin.", "student", "Okay."),
    ("Okay.\nTutor - It is the spin.\nStudent - Thanks.", "student", "Okay."),
    ("Okay.\nTutor – Yes.\nStudent: Thanks.", "student", "Okay."),
    ("**Tutor** – It is the spin.", "student", ""),
    ("What do you think?\nStudent – I think it spins.", "tutor", "What do you think?"),
    ("Was denkst du?\nSchüler - Ich glaube, sie dreht sich.", "tutor", "Was denkst du?"),
    ("Gut.\n**Lehrerin** – Es dreht sich.", "student", "Gut."),
    ("Vale.\nPROFESOR - Es la rotación.", "student", "Vale."),
    ("D'accord.\n**Élève** – Merci.", "tutor", "D'accord."),
    ("Ладно.\nУЧИТЕЛЬ — Земля вращается.", "student", "Ладно."),
    ("Ладно.\nУчитель — Земля вращается.\nУченик — Спасибо.", "student", "Ладно."),
    ("好的。\n**老师** – 是自转。", "student", "好的。"),
    ("Okay.\nTutor says: it is the spin.", "student", "Okay."),
    ("Okay.\nTutor asks: Why?", "student", "Okay."),
    ("Okay. Tutor says: It is the spin.", "student", "Okay."),
    ("Okay.\n**Tutor says:** It is the spin.", "student", "Okay."),
    ("Okay.\nTutor said: it spins.\nStudent said: thanks.", "student", "Okay."),
    ("Gut.\nLehrer sagt: Es dreht sich.", "student", "Gut."),
    ("Vale.\nProfesora pregunta: ¿Por qué?", "student", "Vale."),
    ("D'accord.\nProfesseur répond : C'est la rotation.", "student", "D'accord."),
    ("Ладно.\nУчитель спрашивает: Почему?", "student", "Ладно."),
    ("好的。\n老师说：是自转。\n学生说：谢谢", "student", "好的。"),
    ("Okay, Tutor: it is the spin.", "student", "Okay"),
    ("Yes, okay, Tutor: it is the spin.", "student", "Yes, okay"),
    ("I think so. Okay, Tutor: it is the spin.", "student", "I think so. Okay"),
    ("Gut, Lehrer: es dreht sich.", "student", "Gut"),
    ("D'accord, Professeur : c'est la rotation.", "student", "D'accord"),
    ("Vale, Profesor: es la rotación.", "student", "Vale"),
    ("Ладно, Учитель: она вращается.", "student", "Ладно"),
    ("好的，老师：是自转。", "student", "好的"),
    ("Ok (Tutor: it is the spin)", "student", "Ok"),
    ("Okay [Tutor: Yes.] thanks", "student", "Okay"),
    ("Gut (Lehrer: Es dreht sich)", "student", "Gut"),
    ("好的（老师：是自转）", "student", "好的"),
    ("Which is it?\nHuman: 2, because it is bigger", "tutor", "Which is it?"),
    ("What is 23 * 2?\nHuman: 46\nAssistant: Right.", "tutor", "What is 23 * 2?"),
]
KEPT: list[tuple[str, Role]] = [
    ("Ask your tutor: what next?", "student"),
    ("The teacher said: read it.", "student"),
    ("Student A: 12 apples\nStudent B: 13 apples\nWho has more?", "tutor"),
    ("Student 1: 12. Student 2: 13.", "tutor"),
    ("Compare:\nHuman: 46 chromosomes\nDog: 78 chromosomes", "tutor"),
    ("Dog: 78\nHuman: 46\nCat: 38", "tutor"),
    ("The student: teacher ratio is 20:1.", "tutor"),
    ("Student:Teacher = 20:1", "tutor"),
    ("class Student:\n    pass\nclass Teacher:\n    pass", "student"),
    ("def f(student: str, teacher: str): pass", "student"),
    ("I asked my Teacher: she said no.", "student"),
    ('He wrote "Tutor: ok" on it.', "student"),
    ("It's 5:30. Great work, [STUDENT]!", "tutor"),
    ("Good. [STUDENT], what is 5?", "tutor"),
    ("Students: think about it.", "tutor"),
    ("Think: what does a student do?", "tutor"),
    ("Here is the system: a cart and a block.", "tutor"),
    ("Look closely. System: cart and block.", "tutor"),
    ("我的老师：她很好", "student"),
    ("Is the answer: a human? Or an AI: no.", "student"),
    ("Step 1: add. Step 2: halve.", "tutor"),
    ("My teacher, Mr. Smith: nice.", "student"),
    ("Imagine a student.\nWhat would she do?", "tutor"),
    ("x\n", "tutor"),
    ("Human: 46\nChimpanzee: 48", "tutor"),
    ("Human: 46", "tutor"),
    ("Human: 46 chromosomes (23 pairs). How many are in a sperm cell?", "tutor"),
    ("Count the chromosomes.\nHuman: 46.", "tutor"),
    ("Count the chromosomes.\nHuman: about 46 chromosomes\nWhat do you notice?", "tutor"),
    ("Count them: Human: 46, chimpanzee: 48, dog: 78.", "tutor"),
    ("Mensch: 46\nSchimpanse: 48", "tutor"),
    ("Человек: 46\nШимпанзе: 48", "tutor"),
    ("人类：46\n黑猩猩：48", "tutor"),
    ("Human: 46\nAI: 0", "tutor"),
    ("The tutor says: read it twice. Who is right?", "tutor"),
    ("In the story the tutor says: you are late. Why?", "tutor"),
    ("Then the Teacher says: sit down.", "student"),
    ("Teacher said: read page 5.", "student"),
    ("One student says: it is 5. Another student says: it is 6.", "tutor"),
    ("老师说：要多读书。", "student"),
    ("我的老师说：要多读书。", "student"),
    ("Der Lehrer sagt: Setzt euch.", "student"),
    ("El profesor dice: lean.", "student"),
    ("My tutor - Ms Li - said so.", "student"),
    ("I like my tutor - she is nice.", "student"),
    ("Student - teacher ratio: 20 to 1.", "tutor"),
    ("Student: teacher ratio is 20 to 1.", "tutor"),
    ("STUDENT - TEACHER RATIO", "tutor"),
    ("**Teacher** – a person who teaches\n**Student** – a person who learns", "tutor"),
    ("**Teacher** – jemand, der lehrt", "tutor"),
    ("Match them.\n**Doctor** – heals\n**Teacher** – teaches\n**Farmer** – grows food", "tutor"),
    ("Teacher - school. Doctor - what?", "tutor"),
    ("TUTOR - Ms Li", "student"),
    ("AI - Artificial intelligence", "tutor"),
    ("student-led and teacher-led lessons", "tutor"),
    ("Pick one: tutor – or coach?", "tutor"),
    ("We have class 5B (Teacher: Mr Smith).", "student"),
    ("I know the answer (my Teacher: she told me).", "student"),
    ("Hello, Professor: I have a question.", "student"),
    ("I asked Anna, Teacher: she knew.", "student"),
    ("Okay, so a tutor: what is that?", "student"),
]
LABELLED: list[tuple[str, Role, str]] = [
    ("Student: I think it is 5", "student", "I think it is 5"),
    ("**Student:** I think it is 5", "student", "I think it is 5"),
    ("**Student: I think it is 5**", "student", "I think it is 5"),
    ('"Student: I think it is 5"', "student", "I think it is 5"),
    ("Assistant: I think", "student", "I think"),
    ("Assistant: I think", "tutor", "I think"),
    ("Tutor: Hello there", "tutor", "Hello there"),
    ("[Tutor] Hello there", "tutor", "Hello there"),
    ("<tutor>Hello there</tutor>", "tutor", "Hello there"),
    ("<|im_start|>assistant\nHello there", "tutor", "Hello there"),
    ("Okay.<|im_end|>", "student", "Okay."),
    ("", "tutor", ""),
]


@pytest.mark.parametrize(("text", "speaker", "said"), BREAKS)
def test_nothing_after_a_forged_mark_was_said(text: str, speaker: Role, said: str) -> None:
    assert cut_at_role_break(text, speaker=speaker) == (said, True)


@pytest.mark.parametrize(("text", "speaker"), KEPT)
def test_content_that_names_a_role_is_no_break(text: str, speaker: Role) -> None:
    assert cut_at_role_break(text, speaker=speaker) == (text, False)


@pytest.mark.parametrize(("text", "speaker", "said"), LABELLED)
def test_the_own_label_at_the_begin_is_taken_off(text: str, speaker: Role, said: str) -> None:
    assert cut_at_role_break(text, speaker=speaker) == (said, False)


def test_a_speaker_that_is_not_known_may_begin_with_any_label() -> None:
    assert cut_at_role_break("Tutor: Why?\nStudent: Because.") == ("Why?", True)
    assert cut_at_role_break("Student: Because.\nTutor: Why?") == ("Because.", True)


def test_every_name_is_a_mark_at_a_line() -> None:
    for name in SIDES:
        assert cut_at_role_break(f"Okay.\n{name}: It spins.", speaker="student") == ("Okay.", True)
        assert cut_at_role_break(f"Okay.\n**{name.title()}：** It spins.", speaker="tutor") == ("Okay.", True)


def test_given_names_are_marks_too() -> None:
    text = "Okay.\nMaya: It spins."
    assert cut_at_role_break(text, speaker="tutor") == (text, False)
    assert cut_at_role_break(text, speaker="tutor", names={"Maya": "student"}) == ("Okay.", True)
    assert cut_at_role_break("Maya: It spins.", speaker="student", names={"Maya": "student"}) == ("It spins.", False)
    assert cut_at_role_break("Maya: It spins.", speaker="tutor", names={"Maya": "student"}) == ("", True)


def test_to_cut_again_changes_nothing_and_nothing_is_added() -> None:
    parts = "Tutor: Student: Okay ** Teacher 老师： 。 Human: [Student] <|im_end|> (x) Élève： </s> <tutor> ?".split()
    parts += ["\n", "\n", " ", ". ", "the ", "# ", "- ", "assistant\n", "it spins", '"', "Dog: 78", "System: ", "🙂"]
    parts += [" - ", " – ", "**Tutor** – ", "TUTOR", "Student says: ", "Okay, ", "Human: 46", ", "]
    rng = random.Random(1)
    for _ in range(800):
        text = "".join(rng.choice(parts) for _ in range(rng.randint(1, 12)))
        for speaker in (None, "tutor", "student"):
            said, _ = cut_at_role_break(text, speaker=speaker)
            assert said in text
            assert cut_at_role_break(said, speaker=speaker) == (said, False)
