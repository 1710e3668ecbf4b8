"""Settings of the search for spurious cues."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """Everything that determines the hypotheses of an audit.

    Attributes:
        max_hypotheses: Hypotheses that are tested by intervention, at least by the pilot: the most suspicious ones.
        max_per_class: Clusters per class, and per maps or channel relevances.
        max_verified: Hypotheses that are tested further: those with the largest effect in the pilot.
        max_members: Members of a hypothesis that are tested, at most; sampled at random from larger clusters.
        max_controls: Images whose patches serve as controls, and images that patches are pasted into, at most.
        n_positions: Control regions per image, of the size of the cue, at other positions.
        n_pilot: Members, and control images, of the pilot: a hypothesis whose patches have no more effect than those of
            control images is not tested further.
        min_members: Smallest cluster that becomes a hypothesis.
        max_fraction: Largest cluster that becomes a hypothesis, as a fraction of its class: a cue in most images of a
            class cannot be separated from the class by clustering.
        seed: Seed of all random numbers.
    """

    max_hypotheses: int = 48
    max_per_class: int = 6
    max_verified: int = 20
    max_members: int = 64
    max_controls: int = 64
    n_positions: int = 4
    n_pilot: int = 10
    min_members: int = 5
    max_fraction: float = 0.6
    seed: int = 0

    def record(self) -> dict[str, Any]:
        """Return the settings as stored in the finding."""
        return asdict(self)

    @property
    def max_forwards(self) -> int:
        """Largest number of forward passes (images) that the interventions of one hypothesis take.

        The pilot, with one pass for each patch and three to locate it; then members unmodified, covered, covered
        elsewhere, with the object covered and to locate the cue; patches of members and of controls pasted. In addition
        `max_controls` images are run once per audit.
        """
        return 5 * self.n_pilot + self.max_members * (7 + self.n_positions) + 2 * self.max_controls
