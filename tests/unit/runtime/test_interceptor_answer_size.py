import pytest

from memos_api.v1 import memory_service_pb2 as pb
from memos_kernel.errors import LimitExceeded
from memos_runtime.interceptors.answer_size import AnswerSize

GET = "/memos.v1.MemoryService/GetMemory"


def answering(answer):
    async def endpoint(call):
        return answer

    return endpoint


async def test_an_answer_that_fits_passes_and_so_does_the_end_of_a_stream(run):
    answer = pb.GetMemoryResponse(cube={"name": "n" * 100})
    assert await run(AnswerSize(most=answer.ByteSize()), GET, endpoint=answering(answer)) is answer
    assert await run(AnswerSize(most=1), GET, endpoint=answering(None)) is None


async def test_an_answer_that_does_not_fit_is_refused_with_both_sizes(run):
    answer = pb.GetMemoryResponse(cube={"name": "n" * 100})
    with pytest.raises(LimitExceeded, match=r"has 104 bytes, and a message at most 103") as caught:
        await run(AnswerSize(most=103), GET, endpoint=answering(answer))
    assert caught.value.metadata == {"limit": "103", "unit": "bytes"}
