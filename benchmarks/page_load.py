"""Many people at the page at once: is every map right, are all errors but "come back later" gone, is memory flat?

    python benchmarks/page_load.py [--seconds 60] [--clients 32]

The page runs in a process of its own, with two networks and almost no room to keep answers, so that the networks run.
Each client asks at random, one thing after the other: maps (pictures × methods × layers × classes), with and without a
stream; of pictures of the data set and of the same as uploads; samples, pictures; and questions that take long, from
which it walks away. Every map is compared with what the library said about the same question before, alone.

Exit code 1 where a map is wrong, a status other than 200 and 503 comes, or memory grows by more than 32 MB after the
first ten seconds of at least thirty. Results in results/page_load.json.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from camlucida import explain
from camlucida.app.app_state import Page
from camlucida.app.cache import Cache
from camlucida.app.schemas import EncodedMap, unpacked
from camlucida.app.server import listen, server
from camlucida.data.images import load_image
from camlucida.data.open import open_dataset
from camlucida.methods import find
from camlucida.models.load import load
from interleaved import machine

RESULTS = Path(__file__).parent / "results" / "page_load.json"
MODELS = ("toybox", "toybox:vgg")
SCENES = 24
KEPT = 256 << 10
"""Bytes that each of the page's caches keeps: about thirty answers."""
METHODS = (
    "grad_cam", "layer_cam", "hires_cam", "eigen_cam", "ablation_cam", "finer_cam", "gradient", "input_x_gradient",
    "positive(grad_cam)", "smooth(grad_cam, n=2)", "integrated_gradients(steps=4)", "smooth_grad(n=3)",
)  # fmt: skip
CLOSE = 1e-3
"""Of the map's largest value: float16 is within 5e-4, and sums of other thread counts within far less."""
SETTLED = 10.0
GROWTH = 32.0
"""Seconds after which memory is looked at for the first time, and megabytes that it may grow by then."""
PATIENCE = 120.0
"""Seconds past its time after which a client stops, however few maps it has compared."""
SHARES = {"map": 56, "map, streamed": 12, "map of an upload": 10, "samples": 7, "image": 9, "left": 6}
"""What is asked, in per cent."""


@dataclass(frozen=True)
class Asked:
    """A question, and what the library says."""

    question: dict[str, Any]
    maps: tuple[np.ndarray[Any, Any], ...]

    def same(self, answer: dict[str, Any]) -> bool:
        """Whether an answer of the page has the same maps."""
        found = [unpacked(EncodedMap(**one["map"]))[0] for one in answer["maps"]]
        return len(found) == len(self.maps) and all(
            one.shape == two.shape and np.abs(one - two).max() <= CLOSE * max(np.abs(two).max(), 1e-12)
            for one, two in zip(found, self.maps, strict=True)
        )


def asked(count: int, seed: int) -> list[Asked]:
    """So many questions, each asked of the library alone."""
    draw, data = random.Random(seed), open_dataset("toybox", count=SCENES)
    models, found = {name: load(name) for name in MODELS}, []
    layers = {name: [layer.name for layer in Page([model], data).model(name).layers] for name, model in models.items()}
    for _ in range(count):
        sample, model = draw.randrange(SCENES), draw.choice(MODELS)
        methods = draw.sample(METHODS, draw.choice((1, 1, 1, 2)))
        layered = any(find(method).needs_layer for method in methods)
        question = {
            "image": f"s{sample}",
            "model": model,
            "methods": methods,
            "layers": draw.sample(layers[model], draw.choice((1, 1, 2))) if layered else [],
            "targets": draw.sample(range(10), draw.choice((1, 1, 2))),
        }
        made = explain(
            models[model],
            load_image(data[sample].image),
            method=question["methods"],
            layer=question["layers"] or None,
            target=question["targets"],
        )
        found.append(Asked(question, tuple(one.raw.numpy() for one in made)))
    return found


@dataclass
class Seen:
    """What the clients saw."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    compared: int = 0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Client(threading.Thread):
    """Asks one thing after the other until it is time, and has compared `least` maps or waited for PATIENCE."""

    def __init__(self, port: int, questions: Sequence[Asked], uploads: Sequence[bytes], seen: Seen, seed: int) -> None:
        super().__init__(daemon=True)
        self._to = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._questions, self._uploads, self._seen = questions, uploads, seen
        self._draw = random.Random(seed)
        self.until, self.least, self._compared = 0.0, 0, 0

    def _is_done(self) -> bool:
        late = time.monotonic() - self.until
        return late > PATIENCE or (late > 0 and self._compared >= self.least)

    def run(self) -> None:
        kinds, shares = list(SHARES), list(SHARES.values())
        while not self._is_done():
            kind = self._draw.choices(kinds, shares)[0]
            began = time.monotonic()
            try:
                status = self._left() if kind == "left" else self._asked(kind)
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                self._to.close()
                status = f"{type(error).__name__}: {error}"
            with self._seen.lock:
                self._seen.statuses[status] += 1
                if status == "200":
                    self._seen.seconds[kind].append(time.monotonic() - began)
            if status == "503":
                time.sleep(self._draw.random())
        self._to.close()

    def _asked(self, kind: str) -> str:
        if kind == "samples":
            return self._get(f"/api/samples?seed={self._draw.randrange(100)}")
        if kind == "image":
            return self._get(f"/api/images/s{self._draw.randrange(SCENES)}?longest=64")
        one = self._draw.choice(self._questions)
        question = dict(one.question)
        if kind == "map of an upload":
            status, body = self._send("/api/images", self._uploads[int(question["image"][1:])])
            if status != 200:
                return str(status)
            question["image"] = json.loads(body)["id"]
        status, body = self._send("/api/explain", question, streamed=kind == "map, streamed")
        if status == 200 and kind == "map, streamed":
            name, _, data = body.decode().strip().rpartition("\n\n")[2].partition("\n")
            if name != "event: result":
                return f"{name} {data[:80]}"
            body = data.removeprefix("data: ").encode()
        if status == 200:
            right = one.same(json.loads(body))
            self._compared += 1
            with self._seen.lock:
                self._seen.compared += 1
                if not right:
                    self._seen.wrong.append(json.dumps(question))
        return str(status)

    def _left(self) -> str:
        """Asks for what takes long, and closes the connection while it is waited for or worked on."""
        question = {"image": f"s{self._draw.randrange(SCENES)}", "methods": ["rise(n=2000)"], "targets": [0]}
        self._begin("/api/explain", question, self._draw.random() < 0.5)
        time.sleep(0.3 * self._draw.random())
        self._to.close()
        return "left"

    def _get(self, path: str) -> str:
        self._to.request("GET", path)
        answer = self._to.getresponse()
        answer.read()
        return str(answer.status)

    def _send(self, path: str, content: bytes | dict[str, Any], streamed: bool = False) -> tuple[int, bytes]:
        self._begin(path, content, streamed)
        answer = self._to.getresponse()
        return answer.status, answer.read()

    def _begin(self, path: str, content: bytes | dict[str, Any], streamed: bool) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        accept = "text/event-stream" if streamed else "application/json"
        self._to.request("POST", path, body, {"content-type": kind, "accept": accept})


def uploads() -> list[bytes]:
    """The scenes as files, to the pixel the same."""
    files = []
    for item in open_dataset("toybox", count=SCENES):
        sink = io.BytesIO()
        load_image(item.image).save(sink, "PNG")
        files.append(sink.getvalue())
    return files


@contextlib.contextmanager
def page() -> Iterator[tuple[int, int]]:
    """The page in a process of its own: its port, and the process."""
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline()), process.pid
        finally:
            process.send_signal(signal.SIGTERM)


def serve() -> None:
    """Says the port."""
    data = open_dataset("toybox", count=SCENES)
    made = Page([load(name) for name in MODELS], data)
    for kept in vars(made.caches).values():
        if isinstance(kept, Cache):
            kept.max_bytes = KEPT
    made.warm()
    with listen("127.0.0.1", 0) as listening:
        print(listening.getsockname()[1], flush=True)
        server(made).run(sockets=[listening])


def megabytes(process: int) -> float:
    """Of a process, in memory."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def measured(seconds: float, count: int, questions: int, seed: int, least: int = 0) -> dict[str, Any]:
    """What happened, as it is stored; each client compares at least `least` maps, however slow the machine is."""
    known, files, seen = asked(questions, seed), uploads(), Seen()
    with page() as (port, process):
        clients = [Client(port, known, files, seen, 1000 * seed + number) for number in range(count)]
        began = time.monotonic()
        for client in clients:
            client.until, client.least = began + seconds, least
            client.start()
        time.sleep(min(SETTLED, seconds / 2))
        before = megabytes(process)
        for client in clients:
            client.join(seconds + PATIENCE + 60)
        after, took = megabytes(process), time.monotonic() - began
    total = sum(seen.statuses.values())
    return {
        "clients": count,
        "seconds": round(took, 1),
        "questions": total,
        "a second": round(total / took, 1),
        "statuses": dict(seen.statuses.most_common()),
        "share of 503": round(seen.statuses["503"] / max(1, total), 4),
        "maps compared": seen.compared,
        "maps wrong": len(seen.wrong),
        "wrong": seen.wrong[:10],
        "memory settled, MB": round(before, 1),
        "memory at the end, MB": round(after, 1),
        "milliseconds": {
            kind: {f"{q:.0%}": round(1000 * float(np.quantile(times, q)), 1) for q in (0.5, 0.95, 0.99)}
            for kind, times in seen.seconds.items()
        },
    }


def faults(found: dict[str, Any]) -> list[str]:
    """What must not be."""
    wrong = [f"{found['maps wrong']} wrong maps: {one}" for one in found["wrong"][:1]]
    wrong += [f"{count} × {status}" for status, count in found["statuses"].items() if status not in ALLOWED]
    grown = found["memory at the end, MB"] - found["memory settled, MB"]
    if grown > GROWTH and found["seconds"] >= 3 * SETTLED:
        wrong.append(f"memory grew by {grown:.0f} MB")
    return wrong


ALLOWED = ("200", "503", "left")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--questions", type=int, default=400, help="different ones, asked of the library before")
    parser.add_argument("--least", type=int, default=0, help="maps that each client compares, also when time is over")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, default=RESULTS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.serve:
        serve()
        return 0
    found = measured(given.seconds, given.clients, given.questions, given.seed, given.least)
    print(json.dumps(found, indent=2))
    given.to.write_text(json.dumps({"machine": machine(), "models": MODELS, **found}, indent=2) + "\n")
    wrong = faults(found)
    for fault in wrong:
        print(f"wrong: {fault}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
