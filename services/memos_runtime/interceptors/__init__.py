"""What happens around every call, one idea a file.

Outermost first:

| file | does |
|---|---|
| `trace` | opens the server span, or passes the caller's trace on |
| `metrics` | counts and times the call by method and code |
| `error_map` | lets only domain errors out; masks everything else |
| `answer_size` | refuses an answer that does not fit into a message |
| `admission` | refuses calls to a service that starts or drains, and too many at the public edge |
| `deadline` | bounds the call by the caller's deadline and the method table's |
| `authentication` | says who calls: a principal by API key, or a service by certificate or token |
| `decoding` | reads the request, once the caller is known |
| `required_fields` | refuses empty required fields, unknown enum values and lists without end |
| `authorization` | gets (public) or verifies (internal) the grant |
| `request_id` | computes the identity of a public mutation |

`chain` puts them around the handlers of a server.
"""
