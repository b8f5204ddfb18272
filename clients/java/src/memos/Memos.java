package memos;

import com.google.gson.Gson;
import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptor;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Optional;

/** Connects to a memory system: address, TLS and key from the environment, and errors with their reasons. */
public final class Memos {
  private static final Metadata.Key<String> AUTHORIZATION = ascii("authorization");
  private static final Metadata.Key<String> TRACEPARENT = ascii("traceparent");

  private Memos() {}

  /**
   * Connects to MEMOS_ADDRESS; over TLS with MEMOS_CA_FILE, MEMOS_CERT_FILE and MEMOS_KEY_FILE (PKCS #8). Calls that may be
   * repeated are, by gRPC itself.
   */
  public static ManagedChannel connect(Map<String, String> environment) throws IOException {
    String address = environment.getOrDefault("MEMOS_ADDRESS", "127.0.0.1:7070");
    return Grpc.newChannelBuilder(address, credentials(environment)).defaultServiceConfig(serviceConfig()).enableRetry().build();
  }

  @SuppressWarnings("unchecked") // an object of JSON
  private static Map<String, Object> serviceConfig() throws IOException {
    var file = Memos.class.getResourceAsStream("service_config.json");
    try (var reader = new InputStreamReader(file, StandardCharsets.UTF_8)) {
      return new Gson().fromJson(reader, Map.class);
    }
  }

  private static ChannelCredentials credentials(Map<String, String> environment) throws IOException {
    if (!environment.containsKey("MEMOS_CA_FILE")) {
      return InsecureChannelCredentials.create();
    }
    var tls = TlsChannelCredentials.newBuilder().trustManager(new File(environment.get("MEMOS_CA_FILE")));
    if (environment.containsKey("MEMOS_CERT_FILE")) {
      tls.keyManager(new File(environment.get("MEMOS_CERT_FILE")), new File(environment.get("MEMOS_KEY_FILE")));
    }
    return tls.build();
  }

  /** Adds the API key to every call, and the trace that it belongs to. */
  public static ClientInterceptor along(String key, String traceparent) {
    Metadata headers = new Metadata();
    headers.put(AUTHORIZATION, "Bearer " + key);
    headers.put(TRACEPARENT, traceparent);
    return MetadataUtils.newAttachHeadersInterceptor(headers);
  }

  /** Returns what an error says for programs; empty for one that does not come from the system itself. */
  public static Optional<ErrorInfo> reason(StatusRuntimeException error) throws InvalidProtocolBufferException {
    com.google.rpc.Status status = StatusProto.fromThrowable(error);
    if (status == null) {
      return Optional.empty();
    }
    for (Any detail : status.getDetailsList()) {
      if (detail.is(ErrorInfo.class) && detail.unpack(ErrorInfo.class).getDomain().equals("memos")) {
        return Optional.of(detail.unpack(ErrorInfo.class));
      }
    }
    return Optional.empty();
  }

  private static Metadata.Key<String> ascii(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }
}
