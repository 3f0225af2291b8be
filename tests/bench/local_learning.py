"""How well local rounds learn: the held-out loss of members that average once a round, beside synchronous training.

    python -m tests.bench.local_learning [--quick] [--seeds 1,2,3] [--steps 600] [--processes 2] [--json FILE]

No network, and no speed is measured. The members of a run are threads with the product's own `LocalRounds`; what their
process group would carry goes through a list instead. All ways train the same text (LibreOffice's Korean help) in the
same order, with the product's schedule and for the same tokens, except where a part of the tokens is given.

`3 x 15`: three members, each of which takes 15 steps of its own between two averages, as the product does it. What
else is said is done otherwise: `plain rate`, that of the schedule, not the root of three times as much; `moments` of
the optimisers are averaged too, in full; `outer step (0.7, 0.9)`: the rate and Nesterov momentum with which DiLoCo
(Douillard et al. 2023) moves on by the mean.

`worth` is the part of the tokens for which synchronous training, with a schedule of that length, has the same loss.
Times the number of members it is `times one device`: how many times as fast as one device the members get there, if
exchanging took no time. Losses are in nats a token, of the live or the averaged weights, which are better.
"""

import argparse
import itertools
import math
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.arithmetic.gpt import GPT
from model.arithmetic.state import TrainingState, new_state
from model.config import DatasetConfig, ModelConfig, TrainingConfig
from model.data import PackedData
from model.evaluation import held_out_loss
from model.line.training import Span
from model.meeting.group import Group
from model.rounds.averaging import FLOAT32, weighted_mean
from model.rounds.local import LocalRounds
from model.tuning.choice import Tuning
from tests.bench.korean import help_texts
from tests.bench.learning import make_text, texts_of
from tests.bench.results import Results
from tests.bench.shards import Project, Shape, read_project
from tokenizer.sharding.manifest import read_manifest

SHAPE = Shape(d_model=96, nhead=2, num_layers=2, vocab_size=2000, seq_len=128, batch_size=8)
LR = 0.003  # as the recipe chooses for this width and step
PLAIN_MEAN = (1.0, 0.0)
PUBLISHED = (0.7, 0.9)
SYNCHRONOUS = "synchronous"
PARTS = (1 / 3, 1 / 2, 2 / 3, 5 / 6)  # of the tokens, for which the synchronous run is made again
_CHARACTERS = 3_500_000
_HELD_OUT_SHARE = 0.01
_EVALUATIONS = 5
_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How to train. One member with `own_steps` 1 is synchronous training, of however many devices."""

    members: int = 1
    own_steps: int = 1  # of each member in a round
    rows: float = 1.0  # of a step, as a part of the batch
    rate: float = 1.0  # times the learning rate
    outer: tuple[float, float] = PLAIN_MEAN
    shares_moments: bool = False
    length: float = 1.0  # times the steps of the synchronous run
    optimizer: str = "muon"


WAYS = {
    SYNCHRONOUS: Way(),
    **{f"synchronous, {part:.0%} of the tokens": Way(length=part) for part in PARTS},
    "synchronous, AdamW": Way(optimizer="adamw"),
    "synchronous, 3 x the batch, rate x 1.7": Way(rows=3.0, rate=1.7),
    "3 x 5": Way(members=3, own_steps=5),
    "3 x 15": Way(members=3, own_steps=15),
    "3 x 50": Way(members=3, own_steps=50),
    "3 x 15, plain rate": Way(members=3, own_steps=15, rate=3**-0.5),
    "3 x 15, moments": Way(members=3, own_steps=15, shares_moments=True),
    "3 x 15, outer step (0.7, 0.9)": Way(members=3, own_steps=15, outer=PUBLISHED),
    "3 x 15, AdamW": Way(members=3, own_steps=15, optimizer="adamw"),
    "2 x 15": Way(members=2, own_steps=15),
    "4 x 15": Way(members=4, own_steps=15),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The held-out losses (of live weights, of averaged weights) by the part of the synchronous run's tokens."""

    losses: Mapping[float, tuple[float, float]]

    @property
    def last(self) -> float:
        return min(self.losses[max(self.losses)])


class Members:
    """The members of a run, which exchange values through one list."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._barrier = threading.Barrier(size)
        self._board: list[Any] = [None] * size

    def share(self, rank: int, value: Any) -> list[Any]:
        """The values of all members. Each calls it in a thread of its own."""
        self._barrier.wait()
        self._board[rank] = value
        self._barrier.wait()
        return list(self._board)


class ListGroup(Group):
    """A `Group` of threads."""

    def __init__(self, rank: int, members: Members) -> None:
        super().__init__(rank, members.size, _CPU)
        self._members = members

    def sum(self, values: Sequence[float]) -> list[float]:
        return [sum(some) for some in zip(*self._members.share(self.rank, values), strict=True)]

    def gather(self, data: bytes) -> list[bytes]:
        return self._members.share(self.rank, data)

    def swap(self, parts: Sequence[Tensor], lengths: Sequence[int]) -> list[Tensor]:
        return [parts[self.rank] for parts in self._members.share(self.rank, parts)]


class Member:
    """One member: its weights, its optimiser, and the outer step, which is the same on all."""

    def __init__(self, way: Way, project: Project, seed: int, steps: int, group: Group) -> None:
        manifest = read_manifest(project.manifest)
        self.config = TrainingConfig(
            batch_size=round(SHAPE.batch_size * way.rows),
            optimizer=way.optimizer,
            lr=LR * way.rate,
            seed=seed,
            dataset=DatasetConfig(seq_len=SHAPE.seq_len),
        )
        torch.manual_seed(seed)
        shape = ModelConfig(d_model=SHAPE.d_model, nhead=SHAPE.nhead, num_layers=SHAPE.num_layers)
        model = GPT(shape, manifest.vocab_size)
        model.compute_dtype = torch.bfloat16
        self.state: TrainingState = new_state(model, self.config, torch.bfloat16)
        self.data = PackedData(manifest, project.shards, seed)
        self.group, self._way = group, way
        tuning = Tuning(is_bfloat16=True, threads=1, micro_batch=SHAPE.batch_size)
        self._rounds = LocalRounds(self.config, steps, tuning, self.data, self.state)
        self._rounds.join(group)
        self._velocity = [torch.zeros_like(weight) for weight in model.parameters()]

    def train(self, first_step: int, count: int) -> None:
        """One round: this member's own steps of it, the mean, and the outer step."""
        before = [weight.detach().clone() for weight in self.state.model.parameters()]
        if self.group.size > 1:
            self._rounds.begin_round()
        for step in range(first_step, first_step + count):
            if step % self.group.size == self.group.rank:
                self._rounds.take_steps(step, [self._span(step)], lambda progress: None)
        if self.group.size == 1:
            return
        self._rounds.average(first_step, count)
        self._rounds.synchronize_weights()
        if self._way.outer != PLAIN_MEAN:
            self._move_on(before)
        if self._way.shares_moments:
            self._share_moments()

    def _span(self, step: int) -> Span:
        rows = self.config.batch_size
        epoch, number = divmod(step, len(self.data.train) // rows)
        return Span(epoch=epoch, start=number * rows, stop=(number + 1) * rows)

    @torch.no_grad()
    def _move_on(self, before: Sequence[Tensor]) -> None:
        rate, momentum = self._way.outer
        for weight, start, velocity in zip(self.state.model.parameters(), before, self._velocity, strict=True):
            change = weight - start
            velocity.mul_(momentum).add_(change)
            weight.copy_(start + rate * (change + momentum * velocity))
        self.state.average.restart()

    @torch.no_grad()
    def _share_moments(self) -> None:
        for name, moment in self.state.optimizer.state_tensors().items():
            if not name.endswith(".step"):
                moment.copy_(
                    weighted_mean(self.group, moment.view(-1).clone(), (1.0,) * self.group.size, FLOAT32).view_as(
                        moment
                    )
                )

    def losses(self) -> tuple[float, float]:
        alone = Group(0, 1, _CPU)
        live = held_out_loss(self.state.model, self.data, alone, SHAPE.batch_size)
        with self.state.average.in_place_of_live():
            average = held_out_loss(self.state.model, self.data, alone, SHAPE.batch_size)
        assert live is not None
        assert average is not None
        return live, average


def train(way: Way, project: Project, seed: int, steps: int) -> Run:
    """Train for as many tokens as `steps` synchronous steps have."""
    total = round(steps * way.length / way.rows)
    meeting = Members(way.members)
    members = [Member(way, project, seed, total, ListGroup(rank, meeting)) for rank in range(way.members)]
    if way.members == 1:
        members = [Member(way, project, seed, total, Group(0, 1, _CPU))]
    losses, evaluated = {}, 0
    with ThreadPoolExecutor(way.members) as threads:
        for first, count in rounds(way, total):
            for end in [threads.submit(member.train, first, count) for member in members]:
                end.result()
            share = (first + count) / total * way.length
            if int(share * _EVALUATIONS + 1e-9) > evaluated or first + count == total:
                evaluated = int(share * _EVALUATIONS + 1e-9)
                losses[share] = members[0].losses()
    return Run(losses=losses)


def rounds(way: Way, total: int) -> Iterator[tuple[int, int]]:
    """The first step of each round, and its number of steps."""
    first = 0
    while first < total:
        count = min(way.members * way.own_steps, total - first)
        yield first, count
        first += count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed and 60 steps, to see that it works")
    parser.add_argument("--seeds", default="1,2,3", metavar="N,...")
    parser.add_argument("--steps", type=int, default=600, help="of the synchronous run")
    parser.add_argument("--processes", type=int, default=2, help="each computes with one thread")
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/local_learning.json"))
    options = parser.parse_args()
    results = Results(options.json)
    seeds, steps = ([1], 60) if options.quick else ([int(seed) for seed in options.seeds.split(",")], options.steps)
    names = [(seed, name) for seed in seeds for name in WAYS]
    found: dict[str, dict[int, Run]] = {name: {} for name in WAYS}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        train_pages, held_out = texts_of(help_texts(folder), _CHARACTERS, _HELD_OUT_SHARE)["whole"]
        make_text(folder / "text", train_pages, held_out, SHAPE.seq_len, SHAPE.vocab_size)
        jobs = [(WAYS[name], read_project(folder / "text"), seed, steps) for seed, name in names]
        with ProcessPoolExecutor(options.processes, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
            for (seed, name), run in zip(names, pool.map(train, *zip(*jobs, strict=True)), strict=True):
                found[name][seed] = run
                print(f"seed {seed}, {name}: {run.last:.4f}", file=sys.stderr, flush=True)
    report(found, results, steps)
    return 0


def worth(loss: float, synchronous: Mapping[float, float]) -> float:
    """With what part of its tokens the synchronous run has this loss: between the measured parts by a straight line
    over the logarithm, beyond them by the nearest one."""
    points = sorted((loss_there, math.log(part)) for part, loss_there in synchronous.items())
    pairs = list(itertools.pairwise(points))
    (low, part_of_low), (high, part_of_high) = next((pair for pair in pairs if loss <= pair[1][0]), pairs[-1])
    return math.exp(part_of_low + (loss - low) / (high - low) * (part_of_high - part_of_low))


def report(found: Mapping[str, Mapping[int, Run]], results: Results, steps: int) -> None:
    """A table of means over the seeds, which are compared one by one."""
    rows = {}
    for name, runs in found.items():
        differences, parts = [], []
        for seed, run in runs.items():
            same = {way.length: found[other][seed].last for other, way in WAYS.items() if way == Way(length=way.length)}
            differences.append(run.last / same[1.0] - 1)
            parts.append(worth(run.last, same))
        rows[name] = {
            "loss": statistics.mean(run.last for run in runs.values()),
            "difference": statistics.mean(differences),
            "least": min(differences),
            "most": max(differences),
            "worth": statistics.mean(parts),
            "times_one": statistics.mean(parts) * WAYS[name].members,
        }
    values = {name: {seed: run.losses for seed, run in runs.items()} for name, runs in found.items()}
    results.save(rows, values, steps=steps, shape=asdict(SHAPE), ways={name: asdict(WAYS[name]) for name in found})
    print(f"\n{steps} steps of {SHAPE.tokens_per_step} tokens, {len(found[SYNCHRONOUS])} seeds, {results.about()}")
    print("| way | held-out loss | beside synchronous | of the seeds | worth | times one device |")
    print("|---|---|---|---|---|---|")
    for name, row in rows.items():
        figures = "{loss:.3f} | {difference:+.1%} | {least:+.1%} to {most:+.1%} | {worth:.0%} | {times_one:.1f}"
        print(f"| {name} | {figures.format(**row)} |")


if __name__ == "__main__":
    sys.exit(main())
