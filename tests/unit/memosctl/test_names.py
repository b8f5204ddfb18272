import pytest

from memosctl import names


@pytest.mark.parametrize("given", ["notes", "vaults/notes", "tenants/local/vaults/notes"])
def test_a_short_vault_name_means_the_vault_of_the_local_tenant(given: str) -> None:
    assert names.vault(given) == "tenants/local/vaults/notes"


def test_the_tenant_of_short_names_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMOS_TENANT", "acme")

    assert names.cube("x") == "tenants/acme/cubes/x"


def test_an_empty_name_stays_empty() -> None:
    assert names.vault("") == ""


def test_a_bare_provenance_root_may_be_an_answer_a_cube_or_a_plan() -> None:
    assert names.roots("x") == ("tenants/local/answers/x", "tenants/local/cubes/x", "tenants/local/plans/x")


def test_a_provenance_root_with_its_collection_is_that_one_thing() -> None:
    assert names.roots("answers/x") == ("tenants/local/answers/x",)
    assert names.roots("tenants/a/cubes/x") == ("tenants/a/cubes/x",)
