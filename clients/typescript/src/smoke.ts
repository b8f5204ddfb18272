// Adds a memory, finds it, chats, and asks for a vault that is not there; prints what it saw as JSON.

import { ChatRequest, type ChatResponse } from "./gen/memos_api/v1/chat_service.js";
import { AddMemoriesRequest, SearchMemoriesRequest } from "./gen/memos_api/v1/memory_service.js";
import { call, Memos, metadata, newTraceId, reasonOf } from "./memos.js";

const VAULT = "tenants/local/vaults/main";
const FACT = "The spare key of the boathouse hangs behind the green lantern.";
const QUESTION = "Where does the spare key of the boathouse hang?";

const memos = new Memos();
const traceId = newTraceId();
const along = metadata(traceId);
const search = (vault: string) =>
  call(
    memos.memories.searchMemories.bind(memos.memories),
    SearchMemoriesRequest.create({ vaults: [vault], query: QUESTION }),
    along,
  );

const added = await call(
  memos.memories.addMemories.bind(memos.memories),
  AddMemoriesRequest.create({ vault: VAULT, texts: [FACT] }),
  along,
);
const found = (await search(VAULT)).hits[0]?.cube?.payload;
const chat = { chosen: 0, deltas: "", answer: "" };
const asked = ChatRequest.create({ vaults: [VAULT], messages: [{ role: "user", text: QUESTION }] });
for await (const answer of memos.chats.chat(asked, along, { deadline: new Date(Date.now() + 60_000) })) {
  const { event } = answer as ChatResponse;
  switch (event?.$case) {
    case "plan":
      chat.chosen = event.value.chosen.length;
      break;
    case "delta":
      chat.deltas += event.value.text;
      break;
    case "end":
      chat.answer = event.value.text;
  }
}
const refused = await search("tenants/local/vaults/nowhere").then(() => undefined, reasonOf);
if (refused === undefined) throw new Error("a vault that is not there gave no reason");
memos.close();
console.log(
  JSON.stringify({
    added: added.added[0]?.cube?.name,
    found: found?.$case === "plaintext" ? found.value.text : undefined,
    ...chat,
    reason: refused.reason,
    details: refused.metadata,
    trace_id: traceId,
  }),
);
