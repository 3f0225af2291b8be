"""Local rounds: members train each for itself, average their changes in few bytes, and end with the same bits."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import ModelError, PeerLostError
from model.line.training import Span, StepsTaken
from model.meeting.group import Group
from model.rounds.averaging import BFLOAT16, FLOAT32, INT4, INT8, Coding, Feedback, weighted_mean
from model.rounds.blockwise import EIGHT_BITS, FOUR_BITS, Blockwise
from model.rounds.modes import DDP, LOCAL
from model.rounds.round import TO_THE_END, Ending
from model.trainer import Trainer
from tests.model.test_portable import meet as meet_over
from tests.model.test_training import CONFIG, CPU, MODEL, end, make_trainer, meet, spawn

CODINGS = st.sampled_from((EIGHT_BITS, FOUR_BITS))
WITHOUT_DROPOUT = replace(CONFIG, model=replace(MODEL, dropout=0.0))


# -- numbers in few bits -----------------------------------------------------------------------------------------------

BLOCK = 256


@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 3 * BLOCK), exponent=st.integers(-30, 20), seed=st.integers(0, 99), coding=CODINGS)
def test_a_decoded_value_is_near_for_its_block(count: int, exponent: int, seed: int, coding: Blockwise) -> None:
    values = torch.randn(count, generator=torch.Generator().manual_seed(seed)) * 2.0**exponent
    data = coding.encode(values)
    assert data.dtype == torch.uint8
    assert len(data) == coding.encoded_bytes(count)
    found = coding.decode(data, count)
    assert found.shape == values.shape
    for start in range(0, count, coding.block):
        block, near = values[start : start + coding.block], found[start : start + coding.block]
        # Half a step of the scale, and what the scale loses as bfloat16 (one part in 256 of each value).
        bound = float(block.abs().max()) * (0.5 / coding.steps + 1 / 256)
        assert float((block - near).abs().max()) <= bound * 1.01


@pytest.mark.parametrize("coding", [EIGHT_BITS, FOUR_BITS])
def test_zeros_stay_zeros_and_wrong_lengths_are_refused(coding: Coding) -> None:
    assert torch.equal(coding.decode(coding.encode(torch.zeros(BLOCK + 1)), BLOCK + 1), torch.zeros(BLOCK + 1))
    with pytest.raises(ValueError, match="bytes for"):
        coding.decode(coding.encode(torch.zeros(BLOCK)), BLOCK + 1)


def test_four_bits_take_half_of_the_bytes() -> None:
    assert FOUR_BITS.encoded_bytes(10**6) < 0.53 * EIGHT_BITS.encoded_bytes(10**6)


# -- the mean over the members -----------------------------------------------------------------------------------------

WEIGHTS = (1.0, 3.0, 0.0)
LENGTHS = (0, 1, 700, 3 * BLOCK, 5_000_000)  # the last one is more than any buffer on the way holds


def vectors(length: int) -> list[torch.Tensor]:
    """One for each rank."""
    return [torch.randn(length, generator=torch.Generator().manual_seed(rank)) for rank in range(len(WEIGHTS))]


def average(rank: int, size: int, folder: str, backend: str) -> None:
    meet_over(rank, size, folder, backend)
    group = Group(rank, size, CPU)
    found = {}
    for length in LENGTHS:
        found[f"int4 {length}"] = weighted_mean(group, vectors(length)[rank], WEIGHTS, INT4)
        found[f"int8 {length}"] = weighted_mean(group, vectors(length)[rank], WEIGHTS, INT8)
        found[f"float32 {length}"] = weighted_mean(group, vectors(length)[rank], WEIGHTS, FLOAT32)
        found[f"bfloat16 {length}"] = weighted_mean(group, vectors(length)[rank], WEIGHTS, BFLOAT16)
        found[f"star int8 {length}"] = weighted_mean(group, vectors(length)[rank], WEIGHTS, INT8, None, 1)
        found[f"star int4 {length}"] = weighted_mean(group, vectors(length)[rank], WEIGHTS, INT4, Feedback(), 2)
    found["nobody"] = weighted_mean(group, vectors(9)[rank], (0.0, 0.0, 0.0), INT8)
    torch.save(found, f"{folder}/result-{rank}")
    end(group)


@pytest.mark.parametrize("backend", ["loopback", "portable"])
def test_all_members_have_the_same_bits_of_the_weighted_mean(backend: str) -> None:
    results = spawn(average, len(WEIGHTS), backend)
    for length in LENGTHS:
        expected = sum(vector * weight for vector, weight in zip(vectors(length), WEIGHTS, strict=True)) / sum(WEIGHTS)
        tolerances = {"int4": 1.3, "star int4": 1.3, "int8": 0.08, "star int8": 0.08, "bfloat16": 0.03, "float32": 1e-6}
        for coding, tolerance in tolerances.items():
            found = [result[f"{coding} {length}"] for result in results]
            assert all(torch.equal(found[0], other) for other in found[1:])
            assert torch.allclose(found[0], torch.as_tensor(expected), atol=tolerance), (coding, length)
    assert all(torch.equal(result["nobody"], torch.zeros(9)) for result in results)


def average_often(rank: int, size: int, folder: str) -> None:
    """The same vectors again and again. The last rank has no weight in every second round."""
    group, feedback, in_a_star, length = meet(rank, size, folder), Feedback(), Feedback(), 700
    totals = {name: torch.zeros(length) for name in ("plain", "feedback", "star", "true")}
    for number in range(60):
        weights = WEIGHTS if number % 2 else (1.0, 3.0, 2.0)
        own = vectors(length)[rank]
        totals["plain"] += weighted_mean(group, own, weights, INT4)
        weighted_mean(group, own, weights, INT4, feedback)  # an average that is done again changes nothing
        totals["feedback"] += weighted_mean(group, own, weights, INT4, feedback)
        feedback.settle()
        totals["star"] += weighted_mean(group, own, weights, INT4, in_a_star, 1)
        in_a_star.settle()
        totals["true"] += weighted_mean(group, own, weights, FLOAT32)
    torch.save(totals, f"{folder}/result-{rank}")
    end(group)


def test_what_four_bits_lose_comes_with_the_next_average() -> None:
    results = spawn(average_often, len(WEIGHTS))
    assert all(torch.equal(results[0]["feedback"], other["feedback"]) for other in results[1:])
    names = ("plain", "feedback", "star")
    errors = {name: float((results[0][name] - results[0]["true"]).abs().max()) for name in names}
    assert errors["feedback"] < 2.0  # however many averages
    assert errors["star"] < 2.0
    assert errors["plain"] > 5 * errors["feedback"]


# -- rounds ------------------------------------------------------------------------------------------------------------


def local_trainer(rank: int, folder: str, group: Group) -> Trainer:
    return make_trainer(Path(folder) / f"data-{rank}", group, WITHOUT_DROPOUT, mode=LOCAL)


def spans_of(first: int, count: int) -> list[Span]:
    """Steps of four samples."""
    return [Span(epoch=0, start=step, stop=step + 4) for step in range(first, first + count)]


def take(trainer: Trainer, round_step: int, first: int, count: int) -> StepsTaken:
    return trainer.take_steps(round_step, first, spans_of(first, count), TO_THE_END)


def train_locally(rank: int, size: int, folder: str) -> None:
    group = meet(rank, size, folder)
    trainer = local_trainer(rank, folder, group)
    trainer.train_round(0, [], evaluate=False)
    # In the first round every rank is dealt steps twice; in the second one only the last rank has any.
    assert take(trainer, 0, 2 * rank, 2).count == 2
    assert take(trainer, 0, 2 * size + rank, 1).count == 1
    first = trainer.average_weights(0, 3 * size, evaluate=True)
    if rank == size - 1:
        take(trainer, 3 * size, 3 * size, 1)
    second = trainer.average_weights(3 * size, 1, evaluate=True)
    assert first.loss is not None
    torch.save(
        {
            "hashes": torch.tensor([list(bytes.fromhex(one.state_hash)) for one in (first, second)]),
            "tokens": torch.tensor([first.tokens, second.tokens]),
            "losses": torch.tensor([first.loss, first.val_loss, second.val_loss]),
            "average_loss": torch.tensor(second.average_val_loss),
            "average": trainer.state.average.weights()["embed_tokens.weight"].clone(),
        },
        f"{folder}/result-{rank}",
    )
    end(group)


def test_members_end_a_local_round_with_the_same_weights_and_figures() -> None:
    """I3."""
    results = spawn(train_locally, 3)
    for name in ("hashes", "tokens", "losses", "average"):
        assert all(torch.equal(results[0][name], other[name]) for other in results[1:]), name
    assert not torch.equal(*results[0]["hashes"])
    assert results[0]["average_loss"] != results[0]["losses"][2]


def test_a_device_alone_trains_as_in_the_other_mode_to_the_bit(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    results = []
    for mode in (DDP, LOCAL):
        trainer = make_trainer(tmp_path / str(len(results)), config=WITHOUT_DROPOUT, mode=mode)
        trainer.train_round(0, spans_of(0, 4), evaluate=False)
        results.append(trainer.train_round(4, spans_of(4, 3), evaluate=True))
    assert results[0] == results[1]


def test_the_mean_of_equal_changes_is_that_change() -> None:
    """Two members that take the same samples go where one of them would alone, the root of two as far."""
    one, two = spawn(train_the_same, 2)
    assert torch.equal(one["weights"], two["weights"])
    expected = (one["alone"] - one["start"]) * 2**0.5
    assert float((one["weights"] - one["start"] - expected).norm() / expected.norm()) < 0.02  # by the eight bits


def train_the_same(rank: int, size: int, folder: str) -> None:
    group = meet(rank, size, folder)
    alone = local_trainer(9, f"{folder}/{rank}", Group(0, 1, CPU))
    trainer = local_trainer(rank, folder, group)

    def weights(of: Trainer) -> torch.Tensor:
        return torch.cat([weight.detach().view(-1).clone() for weight in of.model.parameters()])

    found = {"start": weights(alone)}
    # A step of each has the same samples and learning rate: the first of two, which begin anew.
    alone.train_round(0, spans_of(0, 1), evaluate=False)
    trainer.train_round(0, [], evaluate=False)
    take(trainer, 0, 0, 1)
    trainer.average_weights(0, 1, evaluate=False)
    found.update(alone=weights(alone), weights=weights(trainer))
    torch.save(found, f"{folder}/result-{rank}")
    end(group)


def join_late(rank: int, size: int, folder: str) -> None:
    """Rank 1 has other weights, and receives those of rank 0, but no optimiser's state."""
    group = meet(rank, size, folder)
    trainer = local_trainer(rank, folder, Group(0, 1, CPU))
    if rank == 0:
        trainer.train_round(0, spans_of(0, 3), evaluate=True)
    trainer.regroup(group, 3, (0,), None, None)
    received = trainer.state_hash
    moments = [tensor for name, tensor in trainer.state.optimizer.state_tensors().items() if name.endswith("exp_avg")]
    has_moments = any(bool(tensor.any()) for tensor in moments)
    take(trainer, 3, 3 + 2 * rank, 2)
    trainer.average_weights(3, 2 * size, evaluate=False)
    torch.save(
        {
            "received": torch.tensor(list(bytes.fromhex(received))),
            "hash": torch.tensor(list(bytes.fromhex(trainer.state_hash))),
            "tokens": torch.tensor(trainer.tokens),
            "has_moments": torch.tensor(has_moments),
        },
        f"{folder}/result-{rank}",
    )
    end(group)


def test_a_newcomer_receives_the_weights_alone() -> None:
    one, two = spawn(join_late, 2)
    for name in ("received", "hash", "tokens"):
        assert torch.equal(one[name], two[name]), name
    assert bool(one["has_moments"])
    assert not bool(two["has_moments"])


def spoil(rank: int, size: int, folder: str, spoilt: list[int]) -> None:
    group = meet(rank, size, folder)
    trainer = local_trainer(rank, folder, group)
    trainer.train_round(0, [], evaluate=False)
    take(trainer, 0, 2 * rank, 2)
    if rank in spoilt:
        with torch.no_grad():
            next(trainer.model.parameters()).fill_(float("nan"))
    found: dict[str, Any] = {}
    try:
        trainer.average_weights(0, 2 * size, evaluate=False)
    except ModelError as error:
        found = {"code": error.code, "message": str(error)}
    torch.save(found, f"{folder}/result-{rank}")
    end(group)


def test_one_members_broken_weights_are_its_own_fault() -> None:
    codes = [result["code"] for result in spawn(spoil, 3, [1])]
    assert codes == ["peer_lost", "failed", "peer_lost"]


def test_broken_weights_of_all_are_a_divergence_of_the_run() -> None:
    assert {result["code"] for result in spawn(spoil, 2, [0, 1])} == {"diverged"}


# -- a member is lost --------------------------------------------------------------------------------------------------


def lose_the_last(rank: int, size: int, folder: str) -> None:
    """The last rank is lost before the average. The others take its steps too, and average in another group."""
    group = meet(rank, size, folder)
    trainer = local_trainer(rank, folder, group)
    trainer.train_round(0, [], evaluate=False)
    take(trainer, 0, 2 * rank, 2)
    own, average = weights_of(trainer), average_of(trainer)
    found: dict[str, Any] = {}
    if rank < size - 1:
        with pytest.raises(ModelError, match="gone"):  # the average breaks when the mean is there already
            break_average(trainer, 2 * size)
        trainer.leave()
        trainer.continue_round(0)
        assert torch.equal(weights_of(trainer), own)
        assert torch.equal(average_of(trainer), average)
        Path(folder, "again").mkdir(exist_ok=True)
        smaller = meet(rank, size - 1, f"{folder}/again")
        trainer.regroup(smaller, 0, tuple(range(size - 1)), None, None)
        if rank == 0:
            take(trainer, 0, 2 * (size - 1), 2)
        ended = trainer.average_weights(0, 2 * size, evaluate=False)
        found.update(hash=torch.tensor(list(bytes.fromhex(ended.state_hash))), tokens=torch.tensor(ended.tokens))
        group = smaller
    else:
        with pytest.raises(ModelError, match="gone"):
            break_average(trainer, 2 * size)
    torch.save(found, f"{folder}/result-{rank}")
    end(group)


def break_average(trainer: Trainer, num_steps: int) -> None:
    with mock.patch("model.trainer.held_out_losses", side_effect=PeerLostError("it is gone")):
        trainer.average_weights(0, num_steps, evaluate=True)


def average_of(trainer: Trainer) -> torch.Tensor:
    return torch.cat([weight.view(-1).clone() for weight in trainer.state.average.weights().values()])


def weights_of(trainer: Trainer) -> torch.Tensor:
    return torch.cat([weight.detach().view(-1).clone() for weight in trainer.model.parameters()])


def test_the_others_keep_their_steps_and_average_in_another_group() -> None:
    one, two, _ = spawn(lose_the_last, 3)
    assert torch.equal(one["hash"], two["hash"])
    assert one["tokens"] == two["tokens"]


def test_a_call_ends_early_when_another_member_is_free(tmp_path: Path) -> None:
    trainer = local_trainer(0, str(tmp_path), Group(0, 1, CPU))
    answers = iter((False, True))
    taken = trainer.take_steps(0, 0, spans_of(0, 5), Ending(lambda: next(answers)))
    assert taken.count == 2
    assert taken.tokens == trainer.average_weights(0, 2, evaluate=False).tokens


def test_a_step_that_is_cut_changes_nothing(tmp_path: Path) -> None:
    trainer = local_trainer(0, str(tmp_path), Group(0, 1, CPU))
    whole = local_trainer(0, str(tmp_path / "whole"), Group(0, 1, CPU))
    assert take(whole, 0, 0, 2).count == 2
    answers = iter((False, False, True))
    taken = trainer.take_steps(0, 0, spans_of(0, 5), Ending(is_cut=lambda: next(answers)))
    assert taken.count == 2
    assert trainer.state_hash == whole.state_hash
    assert trainer.average_weights(0, 2, evaluate=False) == whole.average_weights(0, 2, evaluate=False)
    assert trainer.take_steps(2, 2, spans_of(2, 1), Ending(is_cut=lambda: True)) == StepsTaken(count=0, tokens=0)


def test_steps_of_a_round_that_is_given_up_do_not_count(tmp_path: Path) -> None:
    trainer = local_trainer(0, str(tmp_path), Group(0, 1, CPU))
    trainer.train_round(0, spans_of(0, 1), evaluate=False)
    before = trainer.state_hash
    two = mock.Mock(wraps=Group(0, 1, CPU), size=2, device=CPU)  # of several members, so it keeps its state
    with mock.patch.object(trainer, "_group", two):
        take(trainer, 1, 1, 2)
    assert trainer.state_hash != before
    trainer.return_to(1)
    assert trainer.state_hash == before
    with pytest.raises(ModelError):
        trainer.continue_round(7)
    taken = take(trainer, 1, 1, 1)
    assert trainer.average_weights(1, 1, evaluate=False).tokens == trainer.tokens
    assert taken.count == 1


def average_slowly(rank: int, size: int, folder: str) -> None:
    """How long the averages of four rounds take is pretended. The last rank knows nothing of the first."""
    group = meet(rank, size, folder)
    trainer = local_trainer(rank, folder, group)
    trainer.train_round(0, [], evaluate=False)
    method: Any = trainer._method
    found = []
    for number, seconds in enumerate((9.0 if rank == 1 else 0.0, 2.0, 0.0, 0.0)):
        take(trainer, size * number, size * number + rank, 1)
        trainer.average_weights(size * number, size, evaluate=False)
        found.append(method._coding is INT4)
        method._exchange_seconds = seconds
        if number == 0 and rank == size - 1:
            method._coding = INT8
    hashed = torch.tensor(list(bytes.fromhex(trainer.state_hash)))
    torch.save({"has_four_bits": torch.tensor(found), "hash": hashed}, f"{folder}/result-{rank}")
    end(group)


def test_members_turn_to_four_bits_together_where_an_average_takes_long() -> None:
    results = spawn(average_slowly, 3)
    assert all(result["has_four_bits"].tolist() == [False, True, True, False] for result in results)
    assert all(torch.equal(results[0]["hash"], result["hash"]) for result in results[1:])
