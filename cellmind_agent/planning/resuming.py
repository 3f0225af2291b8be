"""Which run may go on after it was interrupted, and from which checkpoint. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.protocol.messages import LastCommit, ModelView, PeerView, RunSpec, RunView
from model.line.sentence import Sentence

# Why a run has failed that would fail again.
DIVERGED = (
    "the loss became {loss} at step {step}",
    "the gradient became infinite at step {step}",
    "the weights became infinite",
    "after round {round} the weights of the members differ, and no majority agrees",
)


def is_under_way(run: RunView) -> bool:
    """Whether the run has not ended."""
    return run.state in ("preparing", "training")


def interrupted_run(runs: Sequence[tuple[RunSpec, RunView]]) -> tuple[RunSpec, RunView] | None:
    """The newest of the runs that a journal holds, if it was interrupted, as by a power cut.

    Never an older one: a person has started another run since.
    """
    newest = max(runs, key=lambda run: run[1].created, default=None)
    return newest if newest and may_go_on([newest[1]]) else None


def may_go_on(views: Iterable[RunView]) -> bool:
    """Whether the run may be resumed without a question; `views` are what several devices know of it, at least one.

    Not if it was finished, or stopped by a person, or failed for a reason that stays. Only the latest term counts: the
    run may have been resumed after an earlier end.
    """
    views = list(views)
    latest = max(view.term for view in views)
    return all(_may_go_on(view) for view in views if view.term == latest)


def is_worth_waiting(peers: Iterable[PeerView], last: LastCommit | None) -> bool:
    """Whether devices may come soon that matter for a resumed run: one of its last round, which may hold a newer
    checkpoint, is not online yet, or one that is online has not reported its vitals."""
    trained = {seat.device for seat in last.roster} if last else set()
    return any(
        peer.paired and (peer.vitals is None if peer.state == "online" else peer.id in trained) for peer in peers
    )


def newest_checkpoint(
    run: RunId, models_by_device: Iterable[tuple[DeviceId, Sequence[ModelView]]]
) -> tuple[DeviceId, ModelView] | None:
    """The newest checkpoint from which the run can go on, and a device that holds it."""
    held = [
        (device, model)
        for device, models in models_by_device
        for model in models
        if model.model == run and not model.is_best  # the best weights come without the optimiser's state
    ]
    return max(held, key=lambda one: (one[1].step, one[1].created), default=None)


def _may_go_on(view: RunView) -> bool:
    if view.state == "failed":
        return view.error is None or not any(template in DIVERGED for template in _templates(view.error))
    return is_under_way(view)


def _templates(sentence: Sentence) -> Iterator[str]:
    """Those of the sentence and of all that it quotes."""
    yield sentence.template
    for value in sentence.fields.values():
        if isinstance(value, Sentence):
            yield from _templates(value)
