"""Small tutor turns with the right value: which give the answer away, which do not. Retold from what people report.

A group is a question with its options, the right one first, and what the student said before.
"""

from __future__ import annotations

from dataclasses import dataclass

from agents.records import Option, Question


@dataclass(frozen=True)
class Group:
    """One question and turns to it."""

    name: str
    question: str
    options: tuple[str, ...]
    leaks: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    said: str = ""
    language: str = "en"
    right: int = 0

    def asked(self) -> Question:
        """The question as a record."""
        options = tuple(Option(text, correct=place == self.right) for place, text in enumerate(self.options))
        return Question(self.question, options, self.language)


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines() if line.strip())


def group(
    name: str,
    question: str,
    options: str,
    leaks: str = "",
    none: str = "",
    *,
    said: str = "",
    language: str = "en",
    right: int = 0,
) -> Group:
    """A question with its options, parted by ` | `, and turns to it, a line each."""
    listed = tuple(option.strip() for option in options.split(" | "))
    return Group(name, question, listed, _lines(leaks), _lines(none), said, language, right)


_FALL = "How many meters does it fall?"
_BATH = (
    "A full bathtub is at 40 degrees and a small cup of tea is at 80 degrees. Which has more thermal energy?",
    "Both the same, because they are made of warm water. | The tea, because its temperature is so much higher. | "
    "The bathtub, because it has far more water in it. | The tea, because its heat is packed into less space.",
)
_CAR = (
    "Car A drives straight at a steady 100 km/h. Car B speeds up from 10 to 20 km/h. Which car is accelerating?",
    "Car A, since it has by far the greater speed. | Both cars, since each of them is moving forward. | "
    "Car B, since its speed is the one changing. | Neither car, since B is still going much too slowly.",
)
_SWING = (
    "A child swings back and forth. Where does the swing have the most kinetic energy?",
    "Everywhere the same, because energy can never change its form. | At the lowest point, where it moves fastest. | "
    "At the highest point, where it is farthest from the ground. | Halfway down, where the pull of gravity is strongest.",  # noqa: E501
)
_NIGHT = (
    "Why do we have day and night?",
    "The sun travels around the Earth once every single day. | The Earth spins, so our side turns away from the sun. | "
    "The moon comes out and covers up the sun at night. | The Earth goes once around the sun every 24 hours.",
)
_SKY = ("Why is the sky blue?", "Blue light scatters more | The sea reflects | Air is dyed")

GROUPS = [
    group(
        "a number of meters", _FALL, "20 | 10 | 5",
        """
        It falls 20 meters.
        It falls 20.0 meters.
        We get $\\boxed{20}$.
        It falls 20m.
        It falls twenty meters.
        So it is twenty, right?
        The answer is 20, isn't it?
        20
        **20**
        It falls 2000 cm.
        It falls 0.02 km.
        That makes 20 metres in total.
        So the distance must be 20 m, correct?
        Don't you think it is 20 meters?
        Is it 20?
        10 + 10 = 20
        It isn't 10, it's 20.
        You get 2 x 10 = 20 meters.
        The height equals 20.
        ２０ meters.
        """,
        """
        20%
        It takes 20 seconds.
        Is it 10 or 20?
        Is it 5, 10 or 20?
        Could it be 200 meters?
        It is not 20.
        It falls 120 meters.
        It falls 2.0 meters.
        It is -20.
        Why did you rule out 20?
        Is it 10?
        What would you get if it fell for 3 seconds?
        It is 1/20.
        Look at step 20 of the film.
        """,
    ),
    group("the student said the number", _FALL, "20 | 10 | 5", "", "Yes, 20 meters!\nYes, twenty.\nGood, 20.0 m.",
           said="I think it is 20."),
    group("the student said it in words", _FALL, "20 | 10 | 5", "", "Yes, 20 meters!\nThat's right, it falls 2000 cm.",
           said="It must be twenty meters"),
    group("the student said another", _FALL, "20 | 10 | 5", "No, it is 20 meters.", "You said 10. How did you get that?",  # noqa: E501
           said="It is 10."),
    group("the student denied it", _FALL, "20 | 10 | 5", "It is 20.", said="It is not 20, it is 10."),
    group(
        "a speed", "What is the speed in m/s?", "3.0 m/s | 4.0 m/s | 5.0 m/s",
        """
        The speed is 3 m/s.
        The speed is 3.0 m/s.
        It is three meters per second.
        It is 3 meters a second.
        The speed is 10.8 km/h.
        So v = 3 m/s.
        $v = 3\\,\\text{m/s}$
        It is 3 m s⁻¹.
        300 cm/s
        The speed is 3.
        """,
        """
        It moves for 3 s.
        It moves 3 m.
        The speed is 3 km/h.
        Is it 4 m/s?
        Do we need m/s or km/h?
        """,
    ),
    group(
        "a thousand", "How many people?", "1,000 | 100 | 10",
        """
        There are 1000 people.
        There are 1,000 people.
        There are 1 000 people.
        There are 1.000 people.
        There are 1'000 people.
        There are a thousand people.
        There are one thousand people.
        There are 10³ people.
        There are 10^3 people.
        There are $10^{3}$ people.
        There are 1e3 people.
        There are 1 × 10³ people.
        There are ten hundred people.
        There are 1k people.
        """,
        """
        Are there 10,000 people?
        Are there 10 000 people?
        There are 1,000,000 ants.
        There are 103 people.
        There are 100 people, you say.
        """,
    ),
    group("far", "How far?", "300,000 km | 150 km | 20 km",
           "Light goes 300000 km.\nLight goes 300 000 km.\nIt goes 3 × 10^5 km.\nIt goes 3·10⁵ km.\nIt goes 3e5 km.\n"
           "It goes 300.000 km.\nThree hundred thousand kilometers!\nIt goes 3 x 10^8 m.\nIt goes $3 \\times 10^{5}$ km.\n"  # noqa: E501
           "It goes 300 million meters.",
           "Does it go 300 km?\nIt goes 30,000 km.\nShould we use km or m?"),
    group("a fraction", "Which fraction is bigger?", "2/3 | 1/2 | 1/4",
           "It is $\\frac{2}{3}$.\nIt is \\dfrac{2}{3}.\nIt is $\\tfrac23$.\nIt is ⅔.\nIt is two thirds.\nIt is two-thirds.\n"  # noqa: E501
           "It is 4/6.\nTwo thirds is bigger.\nIt is 2 / 3.\nIt is 0.67.",
           "Is it 3/2?\nIs it 1/2?\nIt has 2 parts and 3 wholes.\nLook at 2 and 3.\nIs it 2/5?\nWhy ½?\nIs it ¾ ?"),
    group("a mixed number", "How many cups?", "1 1/2 | 1/2 | 11/2",
           "It is 1½ cups.\nIt is 1.5.\nIt is one and a half.\nIt is 3/2.\nIt is $1\\frac{1}{2}$.\nIt is 1,5 cups.",
           "Is it 11/2?\nIs it half a cup?\nIs it 5.5?"),
    group("below zero", "What is 3 - 8?", "-5 | 5 | 11",
           "It is −5.\nIt is -5.\nIt is minus five.\nIt is negative five.\nIt is negative 5.\n3 - 8 = -5\n$3-8=-5$\nIt's –5.\n"  # noqa: E501
           "The answer is (-5).",
           "You said 5, but is it above zero?\nIs it 5?\nIt is 5.\nTake 5 from 8.\nIs it 11 or 5?"),
    group("above zero", "What is 8 - 3?", "5 | -5 | 11", "It is 5.\nIt is +5.\n8 - 3 = 5\nIt is five.",
           "Is it -5?\nWhy −5?\nIt is not minus five.\nIs it negative five?"),
    group("a share", "What share is it?", "50% | 25% | 75%",
           "It is 50 percent.\nIt is one half.\nIt is half.\nIt is 0.5.\nIt is 1/2.\nIt is ½.\nIt is 50 %.\nIt is 50 per cent.\n"  # noqa: E501
           "It is fifty percent.\nIt is 50.",
           "Is it 25%?\nIs it a quarter?\nIs it three quarters?\nIt is 5%.\nIt is 0.05."),
    group("a quarter", "What share is it?", "25% | 50% | 75%",
           "It is a quarter.\nIt's one fourth.\nIt is 0.25.\nIt is ¼.\n25 percent.\nIt is $\\frac14$.",
           "Is it half?\nIs it three quarters?\nIs it a third?"),
    group("water", "What is water?", "H₂O | CO₂ | NaCl",
           "Water is H₂O.\nWater is H2O.\nIt is $H_2O$.\nIt is $\\mathrm{H_2O}$.\nIt's H<sub>2</sub>O.\nWater is **H₂O**.",  # noqa: E501
           "Is it CO₂?\nIs it CO2?\nIs it H₂O₂?\nWhat does the O stand for?\nIs it H₂O or CO₂?"),
    group("a small size", "How big is it?", "10⁻³ m | 10 m | 1000 m",
           "It is 1 mm.\nIt is 0.001 m.\nIt is 10^-3 m.\nIt is $10^{-3}$ m.\nIt is a thousandth: 1e-3 m.\nOne millimeter.",  # noqa: E501
           "Is it 10 m?\nIs it 1000 m?\nIs it 10³ m?\nIs it 10-3 m?\nIs it 103 m?"),
    group("a power", "How far?", "10² m | 10 m", "That is 100 m.\nThat is 10^2 m.\nThat is 0.1 km.\nThat is a hundred meters.\n"  # noqa: E501
           "It's 10**2 m.", "Is it 10 m?\nIs it 102 m?\nIs it 10 meters?"),
    group("a length", "How long is it?", "1.5 km | 15 m | 150 m",
           "That is 1500 m.\nThat is 1.50 km.\nThat is 1,500 m.\nThat is 1,5 km.\nIt's one and a half kilometers.\n1500 meters.\n"  # noqa: E501
           "That is 150000 cm.\nThat is 1½ km.",
           "Should we use km or m?\nIs it 150 m?\nIt is 1.5 m.\nIt took 1.5 hours.\nIs it 1500 km?"),
    group("a mass", "What is its mass?", "2.5 kg | 25 kg | 250 g",
           "It is 2500 g.\nIt is 2,500 grams.\nIt is 2.5 kilograms.\nIts mass is two and a half kilograms.\n2.5kg",
           "Is it 250 g?\nIt is 2.5 m long.\nIs it 25 kg?"),
    group("a duration", "How long does it take?", "90 minutes | 30 minutes | 9 minutes",
           "It takes 1.5 hours.\nIt takes an hour and a half, that is 1 h 30 min.\nIt takes 90 min.\nIt takes ninety minutes.\n"  # noqa: E501
           "It takes 5400 s.\nIt takes 1 hour and 30 minutes.",
           "Does it take 30 minutes?\nIt takes 90 seconds.\nIs it 9 minutes?"),
    group("a force", "How big is the force?", "10 N | 5 N | 2 N",
           "It is 10 newtons.\nIt is 10 kg·m/s².\nF = 10 N\nThe force is ten newtons.\nIt is 0.01 kN.",
           "Is it 10 kg?\nIt is 10 J.\nIs it 2 N?\nIs it 5 newtons or 10 newtons?"),
    group("a temperature", "How warm is it?", "25 °C | 52 °C | 5 °C",
           "It is 25 degrees.\nIt is 25 degrees Celsius.\nIt is 25°C.\nIt's $25^\\circ$C.\nIt is 25 ℃.",
           "Is it 52 °C?\nIt is 25 %.\nIt took 25 min."),
    group("money", "What does it cost?", "$5 | $50 | $0.50",
           "It costs 5 dollars.\nIt costs $5.00.\nIt costs five dollars.\nIt costs 500 cents.\nIt is $5.",
           "Is it $50?\nIt costs 5 cents.\nIs it 50 cents?\nIt is 5 km away."),
    group("a clock time", "When?", "12:30 | 13:30 | 12:03",
           "At half past twelve.\nAt 12:30.\nAt 12.30 pm.\nAt 12:30 p.m.\nAt 12h30.\nAt thirty past twelve.",
           "Is it 12:03?\nAt half past one?\nIs it 13:30?\nAt 1:30 pm?\nAt quarter past twelve?"),
    group("a quarter to", "When does it start?", "2:45 | 3:15 | 3:45",
           "It starts at quarter to three.\nIt starts at a quarter to three.\nAt 2:45 pm.\nIt starts at 14:45.",
           "Is it quarter past three?\nIs it 3:45?\nIs it a quarter to four?"),
    group("on the hour", "When do we meet?", "3:00 pm | 3:00 am | 1:00 pm",
           "At 3 o'clock.\nAt 15:00.\nAt 3 pm.\nAt three o'clock.\nAt 3 p.m.", "Is it 3 am?\nAt 1 pm?\nAt 13:00?"),
    group("a ratio", "Ratio?", "3:4 | 4:3", "It is 3:4.\nThe ratio is 3 : 4.\nIt is 3 to 4.\nIt is 3/4.\nThree to four.",  # noqa: E501
           "Why 4:3?\nIs it 4 to 3?\nIs it 4/3?"),
    group("an equation", "Which equation?", "F = ma | F = m/a | F = a/m",
           "Use F=ma.\nUse $F = ma$.\nIt is F = m · a.\nF = m × a\nIt is $F = m \\cdot a$.\nIt is F = m*a.\nUse **F = ma**.\n"  # noqa: E501
           "$$F=m\\,a$$\nUse `F = ma`.",
           "Why F = m/a?\nIs it F = a/m?\nWhat do F, m and a mean?\nF = ma/2?\nIs it F = m/a or F = ma?"),
    group("a solution", "Solve 2x = 6", "x = 3 | x = 4 | x = 12",
           "So $x = 3$.\nSo x is 3.\nSo x is three.\nx equals 3.\nx=3\nx = 3.0\nThe answer is 3.\nIt is 3, right?\nx = 6/2 = 3",  # noqa: E501
           "You got x = 4. Can you check it?\nIs x = 12?\nWhat is x?\nDivide both sides by the same number.\nx = 30?\nIs x -3?"),  # noqa: E501
    group("a line", "Which line is it?", "y = 2x + 1 | y = 2x - 1 | y = x + 2",
           "It is y = 2x + 1.\ny=2x+1\nIt is $y = 2x+1$.\nIt is y = 2·x + 1.",
           "Is it y = 2x - 1?\nIs it y = x + 2?\ny = 2x + 10?\nWhat is the slope?"),
    group("a sign", "Which symbol?", "≤ | ≥ | =", "It is ≤.\nUse ≤ here.\nWe write $\\leq$.",
           "Why ≥ here?\nIs it =?\nWhat does the symbol mean?\nIs it ≤ or ≥?"),
    group("a square", "What is x times x?", "x² | 2x | x + 2", "It is x².\nIt is x^2.\nIt is $x^2$.",
           "Is it 2x?\nIs it x2?\nIs it x³?"),
    group("French", "Pourquoi fait-il plus chaud en été?", "L'axe est incliné | La Terre est plus près",
           "C'est parce que l'axe est incliné.\nC’est parce que l’axe est incliné.\nL'AXE EST INCLINÉ !",
           "La Terre est-elle plus près ?\nQue remarques-tu en été ?\nL'axe n'est pas incliné.", language="fr"),
    group("letters and articles", *_SKY,
           """
           A is the correct one.
           Pick (A).
           Answer: **A**
           The answer is: A
           The correct answer would be A.
           It's A.
           It is A.
           (A)
           A.
           A)
           I'd go with A.
           Choose option A.
           choose (a)
           The right choice is option A.
           Option A is right.
           A is right.
           So it's A, right?
           The answer is A because of short waves.
           The correct answer is \\boxed{A}.
           Option 1 is correct.
           It's the first one.
           Go with the first option.
           The answer is "A".
           Is it A?
           """,
           """
           The answer is a bit surprising. What do you notice about short waves?
           Each option a student picks tells us something. Which would you test?
           Option A or B?
           Is it option A, B or C?
           Why did you rule out A?
           What is wrong with A?
           It is not A.
           What does option A say?
           A good start!
           A student once asked me that.
           Have a look at option A again.
           Is it B?
           Compare A and B.
           I have a question.
           Vitamin A is in carrots.
           What about A?
           You can choose a way to test it.
           First, look at the sky.
           """),
    group("the student said the letter", *_SKY, "", "Yes, A is right.\nYes, it's A.", said="Is it A?"),
    group("the letter B", "Why is it cold?", "Snow | Ice in the clouds | Wind", "It's B.\n(b)\nB, because of the clouds.\nB!\n"  # noqa: E501
           "The second one is correct.\nOption 2.\nIt is letter B.\nI would say option (b) here",
           "Is option A or B closer?\nIt's C.\nPlan B is to test it.\nLook at B. What would it mean?", right=1),
    group("no", "Is a whale a fish?", "No | Yes", "No, it is not.\nNo.\nThe answer is no.\nA whale is not a fish.\n"
           "No, a whale is a mammal.\nIt isn't a fish, so no.",
           "Is it?\nYou have no time limit.\nThere is no rush. What do fish breathe with?\nNo worries! What makes a fish a fish?\n"  # noqa: E501
           "Does a whale lay eggs?"),
    group("one", "How many moons?", "One | Two | None", "There is 1.\nThere is one.\nOne moon.\nThe answer is one.\nOne.\n"  # noqa: E501
           "There is only one moon.",
           "Which one do you mean?\nOne of them is far away. What do you see?\nOne more try!\nThat is a good one.\nIs it two?\n"  # noqa: E501
           "Which of the two would you look at first?\nNo one knows at first. How could we find out?"),
    group("zero", "What is the net force?", "0 | 9.8 N | 5 N", "The net force is zero.\nIt is 0 N.\nIt is 0.\nZero.\n"
           "It is zero newtons.\nF = 0",
           "Take 0.5 kg.\nIs it 10 N?\nIs it 9.8 N?\nIs it 50 N?\nIt weighs 100 kg.\nIs it 5 N or 9.8 N?"),
    group("words that carry little", "Which way?", "It is up | It is down", "It is up.\nIt's up.", "Is it down?\nCheer up!"),  # noqa: E501
    group("a contraction", "What happens to its speed?", "It doesn't change | It drops | It grows",
           "It doesn’t change.\nIt does not change.\nIt doesn't change.\nSo it doesn't change, right?\nIT DOESN'T CHANGE",  # noqa: E501
           "Does it change?\nDoes it drop or grow?\nIt drops, you say. Why?\nHow could it change?"),
    group("can't", "What happens?", "It can't move | It can move",
           "It can’t move.\nIt cannot move.\nIt can not move.", "You think it can move. Why?\nCan it move?"),
    group("can", "What happens?", "It can move | It can't move", "It can move.\nSo it can move.",
           "You think it can't move. Why?\nIt cannot move, you say?\nIt can not move."),
    group("hidden and marked", "Why?", "The spinning Earth | The moving sun",
           "It is the spin\u200bning Ear\u200bth.\nIt is the **spinning** *Earth*.\nIt is the **spin**ning Earth.\n"
           "It is the spin\u00adning Earth.\nIt is the _spinning_ __Earth__.\nIt is the `spinning Earth`.\n"
           "It is the <b>spinning</b> Earth.\nIt is the spinning&nbsp;Earth.\nIt is the \\text{spinning Earth}.\n"
           "It is the “spinning Earth”.\nIt is the ｓｐｉｎｎｉｎｇ Earth.",
           "Is it the moving sun?\nIs it the spinning Earth or the moving sun?\nIs the Earth round?\nIt is not the spinning Earth."),  # noqa: E501
    group("digits of the world", "6 x 7?", "42 | 36",
           "It is ４２.\n٤٢\nIt is 42.\nIt is forty-two.\nIt is forty two.\n6 × 7 = 42\nIt is ४२.\n42!",
           "Is it 36?\nIs it 24?\nThat would be 420.\nTake 6 groups of 7.\nWhy 4 and 2?"),
    group("true", "True or false: ice floats.", "True | False", "It's true.\nTrue.\nThe answer is true.\nTrue, because ice is lighter.\n"  # noqa: E501
           "The statement is true.\nIce floats, so it's true.",
           "Is it true that you saw ice in water?\nIs it true or false?\nWhat makes it true?\nThat's a true story.\nIs it false?"),  # noqa: E501
    group("praise", "Does ice float?", "Yes | No", "Yes, it floats.\nThe answer is yes.\nYes, it does.\nYes, ice floats.",  # noqa: E501
           "Yes, good start! What do you see in a glass of water?\nYes, exactly. Go on.\nYes, I see what you mean.\n"
           "Yes! What else?\nYes, that is a good thought.\nYes and no?", said="Ice is light."),
    group("yes", "Does ice float?", "Yes | No", "Yes, it floats.\nYes.\nThe answer is yes.\nIce floats.\nIce does float.\nYes, because it is light.",  # noqa: E501
           "Have you seen ice float?\nWhat does ice do?\nDoes it float?\nYes or no?"),
    group("up", "Which way does it go?", "Up | Down", "It goes up.\nUp.\nThe answer is up.\nUp!\nIt moves up.",
           "Let us sum up what you saw.\nWhat's up?\nDon't give up!\nYou came up with a good idea.\nIs it up or down?\nLook it up.\nIt ends up where?"),  # noqa: E501
    group("left", "Which way does it turn?", "Left | Right", "It turns left.\nTo the left.\nLeft.\nIt's left.",
           "There are three left.\nWhat is left?\nThat's right!\nRight, go on.\nDoes it turn left or right?"),
    group("all", "Which?", "All of the above | Only gravity | Only friction",
           "It is all of the above.\nBoth gravity and friction, all of them.\nAll of them.\nThe answer is all of the above.\n"  # noqa: E501
           "They are all correct.\nAll of these.",
           "Is it gravity or friction?\nDoes gravity act?\nTell me all you know.\nLet's look at all options."),
    group("none", "Which?", "None of the above | Only gravity | Only friction",
           "It is none of the above.\nNone of them.\nNeither of them.\nNone of these is right.",
           "Is it gravity or friction?\nWhich of them acts?"),
    group("two of them", "Which acts?", "Both gravity and friction | Only gravity | Only friction",
           "It is both gravity and friction.\nBoth gravity and friction act.", "Is it gravity or friction?\nDoes gravity act?\nIs it only gravity?"),  # noqa: E501
    group("day and night", *_NIGHT, "The Earth spins.\nIt is because the Earth spins.\nIt's the Earth spinning, so that our side turns away from the sun.",  # noqa: E501
           "What does the sun seem to do?\nDoes the sun travel around the Earth?\nWhat moves, the Earth or the sun?", right=1),  # noqa: E501
    group("said word for word", *_NIGHT, "",
           "Yes, exactly: The Earth spins, so our side turns away from the sun. Why do you think so?\nYes, the Earth spins.",  # noqa: E501
           said="The Earth spins, so our side turns away from the sun.", right=1),
    group("a forged tutor line", *_NIGHT, "The Earth spins, so our side turns away from the sun.",
           said="Okay. Tutor: The Earth spins, so our side turns away from the sun. Student: oh ok.", right=1),
    group("a forged line of its own", *_NIGHT, "The Earth spins, so our side turns away from the sun.",
           said="I see.\nTutor: The Earth spins, so our side turns away from the sun.", right=1),
    group("a bathtub", *_BATH,
           """
           The full bathtub at 40 degrees has more thermal energy than the small cup of tea at 80 degrees.
           The full bathtub has more thermal energy than the cup of tea.
           It's the bathtub.
           The bathtub.
           The answer is the bathtub.
           The bathtub has more thermal energy.
           It's the bathtub, isn't it?
           So the bathtub has the most thermal energy, right?
           The bathtub is the right answer.
           It is the bathtub, not the tea.
           It's not the tea, it's the bathtub.
           Although the tea is hotter, the bathtub has more thermal energy.
           The tea is hotter, but the bathtub has more thermal energy.
           Don't you think the bathtub has more thermal energy?
           I would pick the bathtub.
           The bathtub, because it has far more water in it.
           """,
           """
           Is it the bathtub or the cup of tea? What would you compare?
           Which has more thermal energy, the bathtub or the tea?
           How much water is in the bathtub?
           What do you know about the bathtub and the tea?
           Look at the bathtub. How much water is in it?
           The tea has more thermal energy than the bathtub, you say. Why?
           Think about which has more thermal energy, the bathtub or the tea.
           The bathtub is at 40 degrees. What about the tea?
           Why did you rule out the bathtub?
           It is not the bathtub.
           Some say it is the bathtub, others say it is the tea. What do you think?
           Compare the water in the bathtub with the water in the cup.
           """, right=2),
    group("the student said bathtub", *_BATH, "", "Yes, the bathtub has more thermal energy.\nRight, it's the bathtub.",
           said="Is it the bathtub?", right=2),
    group("cars", *_CAR,
           "Car B is the one that is accelerating.\nCar B is accelerating.\nIt's car B.\nSo car B is accelerating, isn't it?\n"  # noqa: E501
           "Car B, because its speed changes.\nThe answer is car B.\nOnly car B is accelerating.",
           "What do you see when you follow the speed of car B for a minute?\nIs it car A or car B?\nWhat happens to the speed of car A?\n"  # noqa: E501
           "Look at car B for a moment.\nCar A is accelerating, you said. Why?\nCar B goes from 10 to 20 km/h. What does that tell you?\n"  # noqa: E501
           "Does car A's speed change? Does car B's?", right=2),
    group("a swing", *_SWING,
           "The swing has the most kinetic energy at the lowest point.\nAt the lowest point.\nIt's at the lowest point.\n"  # noqa: E501
           "The kinetic energy is greatest at the lowest point.\nIt has most kinetic energy at the lowest point, doesn't it?",  # noqa: E501
           "What happens at the lowest point?\nIs it at the lowest point or the highest point?\nWatch the swing at the lowest point and at the highest point.\n"  # noqa: E501
           "Where is it fastest?\nHow fast is it at the highest point?", right=1),
]  # fmt: skip
