package memos;

import com.google.rpc.ErrorInfo;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import java.security.SecureRandom;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import memos.v1.AddMemoriesRequest;
import memos.v1.ChatRequest;
import memos.v1.ChatResponse;
import memos.v1.ChatServiceGrpc;
import memos.v1.MemoryServiceGrpc;
import memos.v1.Message;
import memos.v1.SearchMemoriesRequest;

/** Adds a memory, finds it, chats, and asks for a vault that is not there; prints what it saw as JSON. */
public final class Smoke {
  private static final String VAULT = "tenants/local/vaults/main";
  private static final String FACT = "The spare key of the boathouse hangs behind the green lantern.";
  private static final String QUESTION = "Where does the spare key of the boathouse hang?";

  private Smoke() {}

  public static void main(String[] arguments) throws Exception {
    ManagedChannel channel = Memos.connect(System.getenv());
    try {
      System.out.println(json(run(channel)));
    } finally {
      channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
    }
  }

  private static Map<String, Object> run(ManagedChannel channel) throws Exception {
    Map<String, Object> seen = new LinkedHashMap<>();
    String trace = random(16);
    var along = Memos.along(System.getenv("MEMOS_API_KEY"), "00-" + trace + "-" + random(8) + "-01");
    var memories = MemoryServiceGrpc.newBlockingStub(channel).withInterceptors(along);
    var chats = ChatServiceGrpc.newBlockingStub(channel).withInterceptors(along).withDeadlineAfter(1, TimeUnit.MINUTES);

    var added = memories.withDeadlineAfter(30, TimeUnit.SECONDS)
        .addMemories(AddMemoriesRequest.newBuilder().setVault(VAULT).addTexts(FACT).build());
    seen.put("added", added.getAdded(0).getCube().getName());
    var found = memories.withDeadlineAfter(30, TimeUnit.SECONDS).searchMemories(search(VAULT));
    seen.put("found", found.getHits(0).getCube().getPlaintext().getText());

    StringBuilder deltas = new StringBuilder();
    var question = Message.newBuilder().setRole("user").setText(QUESTION);
    var events = chats.chat(ChatRequest.newBuilder().addVaults(VAULT).addMessages(question).build());
    while (events.hasNext()) {
      ChatResponse event = events.next();
      switch (event.getEventCase()) {
        case PLAN -> seen.put("chosen", event.getPlan().getChosenCount());
        case DELTA -> deltas.append(event.getDelta().getText());
        case END -> seen.put("answer", event.getEnd().getText());
        default -> { } // of a newer server
      }
    }
    seen.put("deltas", deltas.toString());

    ErrorInfo refused = refusal(memories);
    seen.put("reason", refused.getReason());
    seen.put("details", refused.getMetadataMap());
    seen.put("trace_id", trace);
    return seen;
  }

  private static ErrorInfo refusal(MemoryServiceGrpc.MemoryServiceBlockingStub memories) throws Exception {
    try {
      memories.withDeadlineAfter(30, TimeUnit.SECONDS).searchMemories(search("tenants/local/vaults/nowhere"));
    } catch (StatusRuntimeException error) {
      return Memos.reason(error).orElseThrow(() -> error);
    }
    throw new IllegalStateException("a vault that is not there was searched");
  }

  private static SearchMemoriesRequest search(String vault) {
    return SearchMemoriesRequest.newBuilder().addVaults(vault).setQuery(QUESTION).build();
  }

  private static String random(int bytes) {
    byte[] made = new byte[bytes];
    new SecureRandom().nextBytes(made);
    return HexFormat.of().formatHex(made);
  }

  private static String json(Object value) {
    if (value instanceof Map<?, ?> map) {
      return map.entrySet().stream()
          .map(entry -> json(entry.getKey().toString()) + ": " + json(entry.getValue()))
          .collect(Collectors.joining(", ", "{", "}"));
    }
    if (value instanceof Number) {
      return value.toString();
    }
    String text = value.toString().replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n");
    return "\"" + text + "\"";
  }
}
