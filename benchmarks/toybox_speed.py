"""How many scenes a second one core draws: python benchmarks/toybox_speed.py [scenes]."""

from __future__ import annotations

import json
import platform
import sys
import time

from camlucida.data import toybox


def rate(count: int, objects: int, size: int, masks: bool) -> float:
    """Scenes a second, from the seed to the picture (and its masks)."""
    start = time.process_time()  # this process's time alone: other work on the machine does not count
    for seed in range(count):
        made = toybox.scene(seed, objects=objects, size=size)
        if masks:
            made.draw()
        else:
            made.picture()
    return count / (time.process_time() - start)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    rate(20, 1, 96, True)  # the shapes are laid out on first use
    for size, share in ((96, 1.0), (224, 0.3), (512, 0.1)):
        for objects in (1, 2):
            scenes = max(1, int(count * share))
            numbers = {
                "pixels": size,
                "objects": objects,
                "pictures_per_second": round(rate(scenes, objects, size, masks=False)),
                "with_masks_per_second": round(rate(scenes, objects, size, masks=True)),
                "machine": platform.processor() or platform.machine(),
            }
            print(json.dumps(numbers))


if __name__ == "__main__":
    main()
