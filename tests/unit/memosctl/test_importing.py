from memos_api.v1.memory_service_pb2 import AddedMemory, AddMemoriesRequest, AddMemoriesResponse, SkippedInput
from memosctl.importing import LineRefused, Report, import_lines, refused_index
from memosctl.transcripts import BadLine, read


class Server:
    """Keeps what it is sent; refuses a message that says `bad`, leaves out what a `system` says."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.requests: list[AddMemoriesRequest] = []

    def send(self, request: AddMemoriesRequest) -> AddMemoriesResponse:
        self.requests.append(request)
        for index, message in enumerate(request.messages):
            if message.text == "bad":
                raise LineRefused(index, "it is bad")
        answer = AddMemoriesResponse()
        for index, message in enumerate(request.messages):
            if message.role == "system":
                answer.skipped.append(SkippedInput(index=index, reason="system_prompt"))
            else:
                answer.added.append(AddedMemory(created=message.id not in self.known))
                self.known.add(message.id)
        return answer


def run(server: Server, *lines: str) -> tuple[Report, int]:
    report, dealt_with = Report(), []
    import_lines(
        read(line.encode() for line in lines),
        vault="v",
        labels={},
        send=server.send,
        advance=dealt_with.append,
        report=report,
    )
    return report, sum(dealt_with)


def test_each_line_is_added_left_out_or_reported() -> None:
    report, dealt_with = run(
        Server(), '{"text": "a"}', '{"text": "bad"}', "nonsense", '{"text": "b", "role": "system"}', '{"text": "c"}'
    )

    assert report.added == 2
    assert report.skipped == [BadLine(4, "system_prompt")]
    assert [bad.number for bad in sorted(report.errors, key=lambda bad: bad.number)] == [2, 3]
    assert dealt_with == 5


def test_a_refused_line_does_not_keep_its_neighbours_out() -> None:
    server = Server()

    report, _ = run(
        server, '{"id": "1", "text": "a"}', '{"text": "bad"}', '{"text": "bad"}', '{"id": "4", "text": "c"}'
    )

    assert server.known == {"1", "4"}
    assert [bad.number for bad in report.errors] == [2, 3]


def test_a_batch_of_refused_lines_alone_ends() -> None:
    report, _ = run(Server(), '{"text": "bad"}')

    assert [bad.number for bad in report.errors] == [1]


def test_a_repeated_import_names_the_same_messages_and_adds_nothing() -> None:
    server = Server()
    run(server, '{"text": "a"}', "nonsense", '{"text": "b"}')

    report, _ = run(server, '{"text": "a"}', '{"text": "mended"}', '{"text": "b"}')

    assert (report.added, report.known) == (1, 2)
    [first, last], [*again] = (request.messages for request in server.requests)
    assert [first, last] == [again[0], again[2]]


def test_a_request_is_not_answered_from_what_an_earlier_import_stored() -> None:
    server = Server()

    run(server, '{"text": "a"}')

    assert not server.requests[0].request_id


def test_the_message_at_fault_is_read_from_the_field_of_the_error() -> None:
    assert refused_index("messages[3].time") == 3
    assert refused_index("vault") is None
