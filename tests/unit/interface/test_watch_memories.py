"""A watch as the interface keeps it up."""

import pytest

from memos_interface.usecases.add_memories import AddRequest
from memos_kernel.errors import VaultNotFound
from memos_kernel.names import VaultName
from memos_kernel.requests import RequestKey


async def add(desk, text):
    return await desk.do.add(AddRequest(vault=desk.vault, texts=[text]), caller=desk.caller, key=RequestKey())


async def test_changes_come_as_they_are_made_and_the_reads_are_noted(desk):
    pages = desk.do.watch(desk.vault, resume_token="", full=True, caller=desk.caller)
    first = await anext(pages)
    assert first.changes == ()
    await add(desk, "The gate code is 4711.")
    page = await anext(pages)
    (change,) = page.changes
    assert change.cube.text == "The gate code is 4711."
    again = desk.do.watch(desk.vault, resume_token=first.resume_token, full=False, caller=desk.caller)
    (header,) = (await anext(again)).changes
    assert (header.name, header.cube.payload) == (change.name, None)
    await pages.aclose()
    await again.aclose()


async def test_a_vault_that_is_not_there_cannot_be_followed(desk):
    pages = desk.do.watch(VaultName("t", "nowhere"), resume_token="", full=False, caller=desk.caller)
    with pytest.raises(VaultNotFound):
        await anext(pages)
