"""The end of a round: all members have the same weights, proved by hash (invariant I3 of ARCHITECTURE.md)."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from torch import Tensor

from model.arithmetic.state import TrainingState, state_hash
from model.meeting.group import Group
from model.meeting.state_transfer import agree_on_transfer, transfer_state

_log = logging.getLogger(__name__)


def agree_on_weights(group: Group, state: TrainingState, tensors: Mapping[str, Tensor]) -> str:
    """The hash of the weights. If they differ, all take `tensors` (of which the weights are a part) from rank 0: unlike
    processors may differ in the last bits of a sum.

    Raises PeerLostError, StateRefusedError.
    """
    digest = state_hash(state.model.state_dict())
    if group.agree(bytes.fromhex(digest)):
        return digest
    transfer = agree_on_transfer(group, "synchronized", range(group.size), tensors)
    _log.warning("the weights of ranks %s differ in the last bits; they take rank 0's", transfer.receivers)
    transfer_state(group, transfer, tensors)
    return state_hash(state.model.state_dict())
