"""The table of backends: the best usable process group is chosen, and every reason is in words."""

import pytest

from cellmind_agent.planning.backends import BACKEND_CHOICES, BACKENDS, Conditions, choose_backend, needs_probe
from cellmind_agent.protocol.errors import ProtocolError, UsageError
from cellmind_agent.protocol.ids import BackendName, is_backend_name
from cellmind_agent.protocol.messages import FormGroup, StartRun, Versions
from cellmind_agent.protocol.plain import from_plain, to_plain
from tests.planning.peers import gpu, peer
from tests.protocol.examples import ROSTER, SPEC

MIXED_SYSTEMS = [peer("aa"), peer("bb", os="darwin")]
MIXED_TORCHES = [peer("aa"), peer("bb", versions=Versions(cellmind="0", python="3", torch="2.11.0+cpu"))]


def test_nccl_needs_a_gpu_of_its_own_on_every_member() -> None:
    two = [peer("aa", accelerator=gpu("1")), peer("bb", accelerator=gpu("2"))]
    shared = [peer("aa", accelerator=gpu("1")), peer("bb", accelerator=gpu("1"))]
    assert choose_backend(two) == ("nccl", "every member has a CUDA GPU of its own")
    assert choose_backend(shared) == ("gloo", "not every member has a CUDA GPU of its own")
    assert choose_backend([peer("aa")])[0] == "gloo"
    assert choose_backend(two, "gloo") == ("gloo", "asked for")
    with pytest.raises(UsageError):
        choose_backend(shared, "nccl")


def test_nccl_connects_two_machines_only_where_the_owner_trusts_the_network() -> None:
    apart = [peer("aa", accelerator=gpu("1")), peer("bb", accelerator=gpu("2"), host="other")]
    assert choose_backend(apart)[0] == "gloo"
    assert choose_backend(apart, is_lan_trusted=True)[0] == "nccl"
    with pytest.raises(UsageError, match="trusted"):
        choose_backend(apart, "nccl")


def test_gloo_is_for_members_of_one_kind_and_portable_for_the_rest() -> None:
    phone = [peer("aa"), peer("bb", os="android")]
    assert choose_backend(phone)[0] == "gloo"
    assert choose_backend(MIXED_SYSTEMS) == (
        "portable",
        "gloo does not work between these systems: aa linux, bb darwin",
    )
    assert choose_backend(MIXED_TORCHES) == (
        "portable",
        "gloo needs the same torch everywhere: aa 2.13, bb 2.11.0+cpu",
    )
    assert choose_backend(phone, "portable") == ("portable", "asked for")
    for members in (MIXED_SYSTEMS, MIXED_TORCHES):
        with pytest.raises(UsageError, match="gloo"):
            choose_backend(members, "gloo")


def test_a_member_whose_probe_failed_makes_the_run_portable() -> None:
    two = [peer("aa"), peer("bb")]
    faults = {two[1].id: "it crashed"}
    assert choose_backend(two, faults=faults) == ("portable", "gloo does not work on bb (it crashed)")
    with pytest.raises(UsageError, match="it crashed"):
        choose_backend(two, "gloo", faults)


def test_gloo_is_probed_only_where_it_may_be_chosen() -> None:
    assert needs_probe([peer("aa"), peer("bb")])
    assert needs_probe([peer("aa"), peer("bb")], "gloo")
    assert not needs_probe([peer("aa")])
    assert not needs_probe(MIXED_SYSTEMS)
    assert not needs_probe([peer("aa"), peer("bb")], "portable")


def test_an_unknown_backend_is_a_usage_error_with_a_suggestion() -> None:
    for ask in (choose_backend, needs_probe):
        with pytest.raises(UsageError, match="glo") as caught:
            ask([peer("aa"), peer("bb")], "glo")
        assert caught.value.hint == "did you mean gloo?"


def test_the_choices_are_auto_and_the_rows_whose_names_are_unique_and_fit_the_wire() -> None:
    assert ("auto", *(backend.name for backend in BACKENDS)) == BACKEND_CHOICES
    assert {"nccl", "gloo", "portable"} <= set(BACKEND_CHOICES)
    assert len(set(BACKEND_CHOICES)) == len(BACKEND_CHOICES)
    assert all(is_backend_name(backend.name) for backend in BACKENDS)


def test_some_backend_can_always_be_chosen() -> None:
    worst = Conditions(members=MIXED_SYSTEMS, faults={MIXED_SYSTEMS[0].id: "it crashed"})
    assert any(backend.why_not(worst) is None for backend in BACKENDS)


START = StartRun(spec=SPEC, roster=ROSTER, backend=BackendName("gloo"))
GROUP = FormGroup(
    run=SPEC.run, term=3, roster=ROSTER, backend=BackendName("gloo"), step=10, state_hash="", holders=(0,)
)


@pytest.mark.parametrize("name", ["", "Gloo", "gloo\n", "a" * 33, "../gloo"])
def test_a_run_whose_backend_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError, match="not the name of a backend"):
        from_plain(StartRun, to_plain(START) | {"backend": name})
    with pytest.raises(ProtocolError, match="not the name of a backend"):
        from_plain(FormGroup, to_plain(GROUP) | {"backend": name})
