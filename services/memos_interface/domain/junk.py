"""What is not remembered: instructions to the model and signs of life of machines.

The rule is conservative. Short human talk ("ok", "thanks", a thumbs-up) is kept: after "Are you coming?"
an "ok" is the answer. Left out are only

- `system_prompt`: every message with the role `system`;
- `heartbeat`: a message that is nothing but a sign of life of a machine, such as `ping`, `HEARTBEAT_OK`,
  `keep-alive` or `{"type": "heartbeat"}`;
- `no_content`: a message of nothing but punctuation;
- `purged`: what was erased from the vault before, and is not to come back. Storage decides that.
"""

import re
import unicodedata

SYSTEM_PROMPT = "system_prompt"
HEARTBEAT = "heartbeat"
NO_CONTENT = "no_content"
PURGED = "purged"

_SIGN = r"(?:ping|pong|heart[ _-]?beat(?:[ _-]?ok)?|keep[ _-]?alive|health[ _-]?check|no[_-]reply)"
_BARE_SIGN = re.compile(rf"\W*{_SIGN}\W*", re.IGNORECASE)
_JSON_SIGN = re.compile(rf'\{{\s*"(?:type|event|kind|op)"\s*:\s*"{_SIGN}"[^{{}}]{{0,160}}\}}', re.IGNORECASE)


def reason_to_leave_out(role: str, text: str) -> str:
    """Return why the message is not remembered, or an empty string."""
    if role == "system":
        return SYSTEM_PROMPT
    stripped = text.strip()
    if _BARE_SIGN.fullmatch(stripped) or _JSON_SIGN.fullmatch(stripped):
        return HEARTBEAT
    if stripped and all(char.isspace() or unicodedata.category(char)[0] == "P" for char in stripped):
        return NO_CONTENT
    return ""
