"""What tests of chats and jobs say over and over."""

from typing import Any

from memos_client import AsyncClient, ChatEnd, ChatPlan


async def ended(client: AsyncClient, job: Any) -> Any:
    """Return a job once it has ended."""
    async for state in client.watch_job(job.name):
        job = state
    return job


async def chat(client: AsyncClient, vault: str, question: str, **options: Any) -> tuple[ChatPlan, ChatEnd]:
    """Return the plan and the end of a chat over one vault."""
    plan = end = None
    async for event in client.chat(question, vaults=[vault], **options):
        plan = event if isinstance(event, ChatPlan) else plan
        end = event if isinstance(event, ChatEnd) else end
    assert plan is not None
    assert end is not None
    return plan, end
