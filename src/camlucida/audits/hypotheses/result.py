"""The result of the search for spurious cues: a ranked list of hypotheses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Effect:
    """The size of an effect with its 95 % interval.

    Attributes:
        name: What is measured.
        value: Its size.
        low: Lower end of the interval; None for fewer than 4 images.
        high: Upper end.
        n: Number of images.
        control: What it is compared with.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    n: int
    control: str


@dataclass(frozen=True)
class Hypothesis:
    """A group of images of which the model may rely on a cue, with the result of the interventions.

    Attributes:
        rank: Rank, from 1: verified hypotheses first, by the size of their effect; then the others, by suspicion.
        class_name: Name of the class; "" for all classes.
        class_index: Output of the model; None for all classes.
        kind: "fixed position", "any position" or "border".
        grouping: The images that were clustered: "predicted", "label" or "all".
        n_class: Number of images that were clustered.
        members: Rows of the group.
        medoid: Row of the most typical member.
        region: Left, top, right, bottom of the cue in the medoid, as fractions of the image; None without one.
        description: How it was found.
        suspicion: Number in [0, 1]; the mean of `suspicions`.
        suspicions: Its components by name; None for unknown ones.
        effect: Rise of the fraction of images predicted as the class when the cue is pasted into them.
        cover_effect: Drop of the log-odds of the class when the cue is covered; None if the pilot showed no effect.
        counts: Numbers of images of the interventions, by name.
        p: One-sided p-value; None if the pilot showed no effect, which counts as 1 in the correction.
        p_corrected: The same after the correction by Benjamini and Hochberg over all hypotheses.
        verified: Whether both interventions have an effect that is large enough, and significant after the correction.
        sentence: The result as a sentence.
        images: Names of the evidence images under findings/images.
        same_as: Rank of the first verified hypothesis of the same class that has at least half of the images of the
            smaller group in common: most likely the same cue. None if there is none, or this one is not verified.
    """

    rank: int
    class_name: str
    class_index: int | None
    kind: str
    grouping: str
    n_class: int
    members: tuple[int, ...]
    medoid: int
    region: tuple[float, ...] | None
    description: str
    suspicion: float
    suspicions: Mapping[str, float | None]
    effect: Effect
    cover_effect: Effect | None
    counts: Mapping[str, int | float]
    p: float | None
    p_corrected: float | None
    verified: bool
    sentence: str
    images: tuple[str, ...] = ()
    same_as: int | None = None

    def record(self) -> dict[str, Any]:
        """Return the hypothesis as JSON can represent it."""
        content = asdict(self)
        content["class"] = content.pop("class_name")
        content["n_members"] = len(self.members)
        return content

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Hypothesis:
        """Return the hypothesis of a record."""
        content = {key: value for key, value in record.items() if key not in ("class", "n_members")}
        content["class_name"] = record["class"]
        for name in ("effect", "cover_effect"):
            content[name] = None if record[name] is None else Effect(**record[name])
        for name in ("members", "region", "images"):
            content[name] = None if record[name] is None else tuple(record[name])
        return cls(**content)


@dataclass(frozen=True)
class Hypotheses:
    """Spurious cues that were searched for in an audit.

    Attributes:
        hypotheses: The hypotheses by rank.
        settings: The settings of the search.
        n_forwards: Number of images that the network was run on.
        notes: What could not be searched, as sentences.
    """

    hypotheses: tuple[Hypothesis, ...]
    settings: Mapping[str, Any]
    n_forwards: int
    notes: tuple[str, ...] = field(default=())

    @property
    def verified(self) -> tuple[Hypothesis, ...]:
        """The verified hypotheses, by rank."""
        return tuple(hypothesis for hypothesis in self.hypotheses if hypothesis.verified)

    @property
    def cues(self) -> tuple[Hypothesis, ...]:
        """The verified hypotheses without those that most likely show the cue of an earlier one."""
        return tuple(hypothesis for hypothesis in self.verified if hypothesis.same_as is None)

    @property
    def sentences(self) -> list[str]:
        """The result as sentences: the verified hypotheses, and what could not be searched."""
        n, verified, cues = len(self.hypotheses), self.verified, self.cues
        if not n:
            return ["There is no group of images whose explanations differ from those of their class.", *self.notes]
        tested = f"{n} {'group' if n == 1 else 'groups'} of images with explanations of their own"
        if not verified:
            return [f"No spurious cue was verified: {tested} were tested by intervention.", *self.notes]
        found = f"{len(verified)} of {tested} {'has' if len(verified) == 1 else 'have'} a cue that decides the class:"
        repeated = len(verified) - len(cues)
        same = [f"{repeated} of them mostly {'has' if repeated == 1 else 'have'} images of another one."]
        return [found, *(hypothesis.sentence for hypothesis in cues), *(same if repeated else []), *self.notes]

    def record(self) -> dict[str, Any]:
        """Return the result as stored in findings/hypotheses.json."""
        return {
            "schema_version": SCHEMA_VERSION,
            "settings": dict(self.settings),
            "n_forwards": self.n_forwards,
            "sentences": self.sentences,
            "notes": list(self.notes),
            "hypotheses": [hypothesis.record() for hypothesis in self.hypotheses],
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Hypotheses:
        """Return the result of a record."""
        return cls(
            tuple(Hypothesis.from_record(each) for each in record["hypotheses"]),
            record["settings"],
            record["n_forwards"],
            tuple(record["notes"]),
        )
