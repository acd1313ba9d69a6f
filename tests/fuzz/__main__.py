"""scripts/fuzz: mutated messages at `decode`, at a node's reader and at a real daemon, until told to stop.

A crasher is written to a file, with the line that repeats it; it then becomes a test.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from random import Random

import tests.conftest  # noqa: F401  (the tests' Django)
from django_ztask.conf import keys
from tests.fuzz.mutate import Mutator
from tests.fuzz.target import GREETING, Inside, Node, node, resident, zmtp

TURN = 2000  # messages inside, between two rounds at the daemon
ROUND = 20  # connections of a round; each with some messages, or with bytes that are none

SAY = 5.0  # seconds between two lines


class Hunt:
    """`fresh` holds what may have crashed it: one message inside, or a round's at the daemon."""

    def __init__(self, seed: int, target: Node | None) -> None:
        self.random = Random(seed)
        self.mutator = Mutator(self.random, keys("message")[0])
        self.inside = Inside()
        self.node = target
        self.count = 0
        self.began = self.said = time.monotonic()
        self.fresh: list[tuple[str, list[bytes]]] = []
        self.first = self._memory()

    def turn(self, most: float) -> None:
        self.inside.begin()
        for _ in range(int(min(TURN, most))):
            frames = self.mutator.frames()
            self.fresh = [("frames", frames)]
            self.inside.shoot(frames)
            self.count += 1
        if self.node is not None:
            self._round(self.node)
        if time.monotonic() > self.said + SAY:
            self.say()

    def _round(self, target: Node) -> None:
        self.fresh = []
        for _ in range(ROUND):
            frames = self.mutator.frames()
            kind = self.random.choice(["dealer", "zmtp", "cut", "noise"])
            data = zmtp(frames)
            if kind == "cut":
                data = data[: self.random.randrange(len(data))] + self.mutator.noise()
            elif kind == "noise":
                data = self.random.choice([b"", GREETING, GREETING + zmtp([])[64:]]) + self.mutator.noise()
            self.fresh.append(("dealer", frames) if kind == "dealer" else ("bytes", [data]))
            shoot(target, *self.fresh[-1])
            self.count += 1
        target.check()

    def say(self) -> None:
        self.said = time.monotonic()
        seconds = max(self.said - self.began, 1e-9)
        refused = ", ".join(f"{kind} {number:,}" for kind, number in sorted(self.inside.refused.items()))
        print(
            f"{seconds:.0f} s: {self.count:,} messages, {self.count / seconds:,.0f} a second; "
            f"names taken {self.inside.named:,}; refused: {refused}; memory (MB): {self._memory()}, "
            f"at first {self.first}",
            flush=True,
        )

    def _memory(self) -> str:
        daemon = f", daemon {self.node.memory()}" if self.node is not None else ""
        return f"own {resident()}{daemon}"


def shoot(target: Node, kind: str, parts: Sequence[bytes]) -> None:
    if kind == "dealer":
        target.send_frames([parts])
    else:
        target.send_bytes(parts[0])


def save(fresh: Sequence[tuple[str, list[bytes]]], folder: Path) -> Path:
    path = folder / f"crasher-{time.time_ns()}.json"
    path.write_text(json.dumps([[kind, [part.hex() for part in parts]] for kind, parts in fresh]))
    return path


def repeat(path: Path) -> None:
    """What is in a crasher's file once more. Raises what comes of it."""
    shots = [(kind, [bytes.fromhex(part) for part in parts]) for kind, parts in json.loads(path.read_text())]
    inside = Inside()
    for kind, parts in shots:
        if kind == "frames":
            inside.shoot(parts)
    if any(kind != "frames" for kind, _ in shots):
        with node() as target:
            for kind, parts in shots:
                shoot(target, kind, parts)
            target.check()


def hunt(options: argparse.Namespace) -> int:
    seed = time.time_ns() if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    with contextlib.ExitStack() as stack:
        found = Hunt(seed, None if options.no_daemon else stack.enter_context(node()))
        try:
            while found.count < options.count and time.monotonic() - found.began < options.seconds:
                found.turn(options.count - found.count)
        except KeyboardInterrupt:
            pass
        except Exception:
            traceback.print_exc()
            path = save(found.fresh, Path.cwd())
            print(f"after {found.count:,} messages, a crasher: scripts/fuzz --repro {path}", flush=True)
            return 1
        found.say()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="until then (for ever)")
    parser.add_argument("--count", type=float, default=float("inf"), help="so many messages (for ever)")
    parser.add_argument("--seed", type=int, help="of the dice (the time)")
    parser.add_argument(
        "--no-daemon", action="store_true", help="only decode and the reader, in this process"
    )
    parser.add_argument("--repro", type=Path, metavar="FILE", help="shoots what is in a crasher's file")
    options = parser.parse_args(arguments)
    if options.repro is None:
        return hunt(options)
    try:
        repeat(options.repro)
    except Exception:
        traceback.print_exc()
        return 1
    print("it crashes nothing")
    return 0


if __name__ == "__main__":
    sys.exit(main())
