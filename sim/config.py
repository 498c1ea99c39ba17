"""The config of a run: one YAML file, read once, checked whole, saved with the run as resolved.

Invariant: a `Config` that exists is runnable as far as can be known without starting an engine: every strategy,
persona, pack, pool and model it names exists, and every role has a pool. Unknown keys are errors.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr

from sim.config_experiment import BudgetConfig, ExperimentConfig, StressorConfig, TutorArm
from sim.config_reward import RewardConfig, SweepPoint
from sim.config_training import DataConfig, ScorerConfig, TrainingConfig
from sim.inputs import Inputs
from sim.section import Fraction, Name, PoolName, Positive, Section

Role = Literal["tutor", "student", "judge"]
Price = Annotated[float, Field(ge=0.0)]


class PoolConfig(Section):
    """Identical Ray actors that each host one engine and the agents of one or more roles."""

    roles: tuple[Role, ...] = ()
    """Whose turns this pool speaks: `tutor`, `student`, `judge`. Empty for a pool that only `tutors` name."""
    engine: Literal["vllm", "openai", "scripted", "python"] = "vllm"
    """`python` is a callable of yours, named by `callable`."""
    model: str = ""
    """A known model (`tutorloop model list`), a folder, or a hub name. Empty: the config's `model`."""
    replicas: Positive = 1
    """Engines it starts with, and the fewest it has. A long experiment on the embedded model gets two, with half the
    slots and the cache each, where no size is given here and the machine has room (docs/performance.md, "Layouts")."""
    max_replicas: Annotated[int, Field(ge=0)] = 0
    """Most engines it grows to while requests wait for places; 0: it does not grow. See `docs/operate.md`."""
    shares: str = ""
    """A pool with the same weights whose engine serves this one until the first adapter is delivered."""
    cpus: Annotated[float, Field(ge=0.0)] = 0.25
    """Logical Ray CPUs per replica. Training needs whole ones, so leave some free."""
    gpus: Annotated[float, Field(ge=0.0)] = 0.0
    """Logical Ray GPUs per replica: 0 serves on the CPU, less than 1 is a share of one, 2 or more spread the model over
    that many GPUs of one node (tensor parallel)."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """`auto`: bfloat16 where the machine computes in it, float32 on a CPU that does not."""
    max_model_len: Positive = 2048
    """Context length in tokens; a dialogue that could exceed it is refused before it starts."""
    max_num_seqs: Positive = 64
    """Sequences decoded together in one engine."""
    kv_cache_gib: Annotated[float, Field(gt=0.0)] = 2.0
    """KV cache on a CPU engine. A GPU engine uses `gpu_memory_utilization`."""
    gpu_memory_utilization: Fraction = 0.9
    """Share of each GPU's memory that a replica takes; at most `gpus` where that is a share."""
    compile: bool = False
    """torch.compile: decodes faster on a CPU, starts over a minute later, and needs a C++ compiler."""
    max_lora_rank: Positive = 16
    """Largest adapter rank a GPU engine serves."""
    base_url: str = ""
    """Of an OpenAI-compatible endpoint."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; the key itself is never in a config."""
    timeout_seconds: Annotated[float, Field(gt=0.0)] = 60.0
    max_retries: Annotated[int, Field(ge=0)] = 4
    """Attempts after the first that failed; what would come back the same is not tried again."""
    rate_limit_seconds: Annotated[float, Field(ge=0.0)] = 600.0
    """Longest time that a request to an endpoint waits for a rate limit to end. It is a part of the dialogue's time."""
    max_concurrency: Positive = 32
    """Requests in flight at an endpoint."""
    price_per_million: tuple[Price, Price] = (0.0, 0.0)
    """Price of a million prompt and completion tokens; of any engine."""
    price_per_million_cached: Price | None = None
    """Price of a million prompt tokens that an endpoint says it had read before; empty: that of the others."""
    callable: str = ""
    """Dotted name of `async def tutor(messages) -> str`, for engine `python`."""
    script: tuple[str, ...] = ()
    """Replies of a scripted engine, in turn by dialogue."""
    latency_seconds: Annotated[float, Field(ge=0.0)] = 0.0
    """Of a scripted engine."""
    fail_every: Annotated[int, Field(ge=0)] = 0
    """A scripted engine fails every n-th request; 0: never."""
    slots: Annotated[int, Field(ge=0)] = 0
    """Requests a scripted engine answers at once; others wait. 0: any number."""


class TutorConfig(Section):
    """Who teaches and how it samples."""

    strategies: tuple[str, ...] = ("socratic",)
    """Names from the strategy library; several make several arms."""
    settings: dict[str, str] = {}
    """Parameters of the strategy, such as `dimension` of `knowledge_building`."""
    adapter: str = ""
    """A trained adapter's folder to serve from the start of a `run`."""
    knows_answer: bool = True
    """Whether the tutor's prompt holds the right answer, as a teacher's key does."""
    max_tokens: Positive = 45
    """ConvoLearn's fine-tuned tutors were held to 45 (App. J)."""
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.4
    """ConvoLearn's tutors were served at 0.25 (App. J)."""
    repetition_penalty: Annotated[float, Field(ge=1.0, le=2.0)] = 1.0


class StudentConfig(Section):
    """Who learns and how it samples."""

    personas: tuple[str, ...] = ("engaged", "limited")
    max_tokens: Positive = 48
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.7


class ItemsConfig(Section):
    """Which items are taught."""

    pack: str = "earth_science"
    """Name of a shipped pack or path of a YAML pack."""
    limit: Positive | None = None
    """At most so many items, spread evenly over the pack's areas."""
    repeats: Positive = 1
    """Dialogues for each arm and item; each repeat holds another misconception in turn."""


class DialogueConfig(Section):
    """The shape of one dialogue."""

    turns: Positive = 2
    """Tutor turns."""
    candidates: Positive = 1
    """K replies sampled at each tutor turn; the best by reward is said. In a run too: then a tutor that looks into the
    student's head, since the reward holds a probe of it."""
    candidate_temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.7
    """Temperature of candidates; warmer than `tutor.temperature`, which is how the tutor is served and replayed."""
    lookahead: Annotated[int, Field(ge=0)] = 0
    """Exchanges (student, tutor) that every candidate is rolled on before its probe, so that its reward holds what the
    student believes that much later."""
    exploration: Fraction = 0.5
    """Share of the candidates of a loop's first round that begin with an opener of the strategy, so that rare but
    wanted replies are met. An opener says no word of the item's answer. Held-out dialogues have none."""
    exploration_decay: Fraction = 0.5
    """What is left of that share in each further round; 0: only the first round has openers, 1: it stays."""


class ProbeConfig(Section):
    """When the student's belief is measured, and how."""

    form: str = "auto"
    """How the student is asked (agents/probes.py): `auto` is the form that `tutorloop check --probes` chose for the
    student's model, and nothing where none is valid; `none` measures no belief."""
    unchecked: bool = False
    """Measures by the named form although it failed its check on the model, or nobody made one; tables say so."""
    echo: bool = True
    """Measures also what the tutor's words do in random order (`echo`), and takes that off every gain."""
    says: str = ""
    """What is known of the form on the student's model; filled in when the config is read."""
    question: bool = True
    """Before and after the dialogue."""
    transfer: bool = True
    """The transfer question, before and after; in training dialogues, which are not compared, never."""
    turn: bool = False
    """After every tutor turn."""
    candidate: Literal["pair", "all", "none"] = "pair"
    """After every candidate, as a part of its reward: `pair` asks about the right option and the held one only."""

    @property
    def asked(self) -> str:
        """The form that probes ask in. An engine without a model, where none is settled, is asked in the plainest."""
        return "text_mean" if self.form in ("auto", "none") else self.form

    @property
    def masked(self) -> bool:
        """Whether the student is asked with everything hidden that others said."""
        return self.form.startswith("masked_")

    @property
    def hears_echo(self) -> bool:
        """Whether echo is measured: where a form was settled for a model. What a script scores is made up anyway."""
        return self.echo and self.form not in ("auto", "none")


class RubricConfig(Section):
    """An LLM judge with a structured verdict. For models that can judge; the embedded default cannot."""

    name: str = "pedagogical_rl"
    """Name of a shipped rubric or path of a YAML rubric."""
    votes: Positive = 2
    max_tokens: Positive = 256
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.6


class HeldoutConfig(Section):
    """The frozen set on which old and new policy are compared: items and personas not trained on."""

    items: ItemsConfig = ItemsConfig(pack="physics")
    personas: tuple[str, ...] = ("disengaged", "begging")


class GateConfig(Section):
    """Promotion: the reward clearly up, leaks bounded, no headline measure clearly worse, and conditions of yours."""

    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    max_leak_increase: Annotated[float, Field(ge=0.0)] | None = None
    """Largest increase of the leak rate that the interval of the difference may still reach. Few held-out items cannot
    show a small one: where nothing leaks, 16 items leave +.21 open, 36 items +.10, 146 items +.025 (docs/gate.md).
    null: 0.25, or what the items can show at best where that is more."""
    max_leak_mean: Annotated[float, Field(ge=0.0)] = 0.02
    """Largest increase of the mean leak rate itself."""
    gives_up: tuple[str, ...] = ()
    """Headline measures that a policy may get clearly worse in, such as `opener_share`. The others refuse it."""
    fail_if: tuple[str, ...] = ()
    """More conditions, on any measure, each as `tutorloop compare --fail-if` takes it: when a policy is not promoted,
    such as `rubric:pedagogical_rl/leak < -0.05` (a judged criterion fell by more) or `words > 60`. One that is not
    shown to hold fails as well (docs/gate.md)."""


class LoopConfig(Section):
    """The closed loop."""

    rounds: Positive = 1
    adapter: Name = "tutor"
    """Name of the adapter family; versions are `tutor/v0001`, `tutor/v0002`, ..."""
    agreement_tolerance: Annotated[float, Field(gt=0.0)] | None = None
    """Largest mean difference, in nats per token, between trainer and engine on the same weights; null: 0.05 where the
    engine computes in float32, 0.15 in half precision."""
    judge_training: bool = False
    """Whether the run's own judges read training dialogues as well: they decide nothing there and cost as much."""
    heldout: HeldoutConfig = HeldoutConfig()
    gate: GateConfig = GateConfig()


class RunConfig(Section):
    """How a run is executed."""

    folder: str = "runs"
    """Where run folders are made."""
    classrooms: Positive = 1
    in_flight: Positive = 64
    """Most dialogues at once in one classroom; how many there are follows the engines' load."""
    engine_wait_seconds: Annotated[float, Field(gt=0.0)] = 600.0
    """How long a request waits for an engine while all of a pool's are being started anew."""
    store_wait_seconds: Annotated[float, Field(ge=0.0)] = 600.0
    """How long a run waits, held back, for a run folder that cannot be written (a full disk)."""
    part_dialogues: Positive = 16
    """Dialogues per stored part."""
    part_seconds: Annotated[float, Field(gt=0.0)] = 5.0
    """A part is written at the latest after so many seconds."""
    dialogue_timeout_seconds: Annotated[float, Field(gt=0.0)] = 1800.0
    ray_address: str = ""
    """Empty: the running job's cluster, else a local one."""
    record: str = ""
    """A folder where every request and answer is kept, so that the run can be replayed without a model."""
    replay: str = ""
    """Such a folder: answers come from it, no engine starts, and a request it does not hold is an error."""


class Config(Section):
    """A whole config file."""

    name: Name
    kind: Literal["run", "loop", "train", "scorer"] = "run"
    """`train` and `scorer` train on stored dialogues (`data`): a tutor, or the judge of that name."""
    seed: int = 0
    """Decides every choice tutorloop makes: held misconceptions, order, splits. Not a sampling seed."""
    model: str = "smollm2-135m"
    pools: dict[PoolName, PoolConfig] = {
        "class": PoolConfig(roles=("student", "judge")),
        "tutor": PoolConfig(roles=("tutor",), shares="class"),
    }
    tutor: TutorConfig = TutorConfig()
    tutors: tuple[TutorArm, ...] = ()
    """Of a run: the tutors under test. Empty: one for each of `tutor.strategies`."""
    students: StudentConfig = StudentConfig()
    items: ItemsConfig = ItemsConfig()
    stressors: tuple[StressorConfig, ...] = ()
    """Of a run: what makes tutoring hard, at which intensities; every tutor meets the same."""
    experiment: ExperimentConfig = ExperimentConfig()
    budget: BudgetConfig = BudgetConfig()
    tracking: Literal["", "tensorboard", "mlflow"] = ""
    """Where figures are logged as well."""
    dialogue: DialogueConfig = DialogueConfig()
    probes: ProbeConfig = ProbeConfig()
    rubric: RubricConfig | None = None
    reward: RewardConfig = RewardConfig()
    scorer: ScorerConfig | None = None
    data: DataConfig | None = None
    training: TrainingConfig = TrainingConfig()
    loop: LoopConfig = LoopConfig()
    sweep: tuple[SweepPoint, ...] = ()
    """Of a loop: rewards to be tried one after the other on the same first simulation; draws the frontier."""
    run: RunConfig = RunConfig()
    _inputs: Inputs = PrivateAttr(default_factory=Inputs)

    @property
    def inputs(self) -> Inputs:
        """Where the names of this config are looked up: in a run folder's own copies, else in the library and on disk.
        It goes with the config wherever that goes, also to another node."""
        return self._inputs

    def with_inputs(self, inputs: Inputs) -> Config:
        """The same config, whose names are looked up in these inputs."""
        found = self.model_copy()
        found._inputs = inputs
        return found

    @property
    def packs(self) -> tuple[str, ...]:
        """The packs it teaches from, each once: of a loop also the held-out one."""
        return tuple(dict.fromkeys([self.items.pack, *([self.loop.heldout.items.pack] if self.kind == "loop" else [])]))

    def heard_roles(self) -> tuple[Role, ...]:
        """The roles every dialogue of this config asks beside its tutor."""
        return ("student", "judge") if self.rubric else ("student",)

    def heard_pools(self) -> tuple[str, ...]:
        """The pools that every dialogue asks beside its tutor's: of the roles, and of who judges candidates."""
        return tuple(dict.fromkeys((*map(self.pool_of, self.heard_roles()), *self.reward_pools())))

    def reward_pools(self) -> tuple[str, ...]:
        """The pool whose judge values candidates, where it is not the run's own judge."""
        judge = self.reward.judge
        return (judge.pool,) if judge and judge.rubric and self.judges_candidates("rubric") else ()

    def judges_candidates(self, part: str) -> bool:
        """Whether candidates are judged for a part of the reward, `rubric` or `scorer`."""
        rewards = (self.reward, *(point.reward for point in self.sweep))
        return self.dialogue.candidates > 1 and any(getattr(reward, part) for reward in rewards)

    def pool_of(self, role: Role) -> str:
        """Name of the pool that speaks for a role."""
        return next(name for name, pool in self.pools.items() if role in pool.roles)

    @cached_property
    def _arms(self) -> tuple[TutorArm, ...]:
        """Made once: thousands of dialogues hold one."""
        given = self.tutor
        return self.tutors or tuple(
            TutorArm(name=name, strategy=name, settings=given.settings, adapter=given.adapter)
            for name in given.strategies
        )

    def tutor_arms(self) -> tuple[TutorArm, ...]:
        """The tutors under test: as named, else one for each strategy."""
        return self._arms

    def tutor_arm(self, name: str) -> TutorArm:
        """The tutor of that name; ValueError where the config has none: it would be another that speaks."""
        for arm in self.tutor_arms():
            if arm.name == name:
                return arm
        raise ValueError(f"no tutor {name!r} in config {self.name!r}")

    def strategy_of(self, arm: TutorArm) -> str:
        """Name of the strategy a tutor follows: its own, else the config's first."""
        return arm.strategy or self.tutor.strategies[0]

    def tutor_pool(self, arm: TutorArm) -> str:
        """Name of the pool that speaks for a tutor; empty for a control."""
        return "" if arm.control else arm.pool or self.pool_of("tutor")

    def model_of(self, pool: str) -> str:
        """The model a pool serves."""
        return self.pools[pool].model or self.model
