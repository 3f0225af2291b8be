"""The variables of a trainer: what a person has set stays, and another allocator is left alone."""

from cellmind_agent.runs.environment import trainer_environment

NAMES = {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "THP_MEM_ALLOC_ENABLE"}


def test_on_linux_a_trainer_keeps_its_memory_between_steps() -> None:
    added = trainer_environment({"PATH": "/bin"}, "linux")
    assert added.keys() == NAMES
    assert added["MALLOC_MMAP_THRESHOLD_"] == "4294967296"


def test_what_a_person_has_set_stays() -> None:
    assert trainer_environment({"MALLOC_TOP_PAD_": "1"}, "linux").keys() == NAMES - {"MALLOC_TOP_PAD_"}


def test_nothing_is_added_for_another_allocator_or_system() -> None:
    assert trainer_environment({"LD_PRELOAD": "libjemalloc.so.2"}, "linux") == {}
    assert trainer_environment({}, "darwin") == {}
    assert trainer_environment({}, "win32") == {}
