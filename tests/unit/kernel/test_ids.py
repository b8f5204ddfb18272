import uuid

from memos_kernel.ids import uuid7


def test_ids_are_uuids_of_version_seven():
    made = uuid.UUID(uuid7())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


def test_ids_that_are_made_one_after_another_sort_so():
    made = [uuid7() for _ in range(10_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
