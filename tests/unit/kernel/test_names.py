"""Resource names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_kernel.errors import MalformedName, MissingField
from memos_kernel.names import CubeName, PrincipalName, TenantName, VaultName

IDS = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?", fullmatch=True)


@given(IDS, IDS)
def test_a_name_reads_what_it_writes(tenant, cube):
    assert CubeName.parse(str(CubeName(tenant, cube))) == CubeName(tenant, cube)


@pytest.mark.parametrize(
    "value",
    [
        "cubes/x",
        "tenants/a/vaults/x",
        "tenants/a/cubes/",
        "tenants/A/cubes/x",
        "tenants/a/cubes/x/y",
        "tenants/a/cubes/../x",
        "tenants/a/cubes/x\n",
        "tenants/a/cubes/-x",
        "tenants/a/cubes/" + "x" * 64,
    ],
)
def test_another_form_is_refused_and_the_pattern_told(value):
    with pytest.raises(MalformedName) as caught:
        CubeName.parse(value, field="cube.name")
    assert caught.value.metadata == {"field": "cube.name", "pattern": "tenants/{tenant}/cubes/{cube}"}


def test_an_empty_name_is_missing():
    with pytest.raises(MissingField):
        VaultName.parse("")


def test_names_of_different_collections_are_never_equal():
    assert PrincipalName("a", "x") != VaultName("a", "x")
    assert len({PrincipalName("a", "x"), VaultName("a", "x")}) == 2
    assert VaultName("a", "x").parent == TenantName("a")
