// Connects to a memory system: address, TLS and key from the environment, and errors with their reasons.

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { credentials, Metadata, type ChannelCredentials, type ServiceError } from "@grpc/grpc-js";
import { ChatServiceClient } from "./gen/memos_api/v1/chat_service.js";
import { MemoryServiceClient } from "./gen/memos_api/v1/memory_service.js";
import { ErrorInfo } from "./gen/google/rpc/error_details.js";
import { Status } from "./gen/google/rpc/status.js";

const SERVICE_CONFIG = readFileSync(new URL("./service_config.json", import.meta.url), "utf8");
const ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo";

/** Clients of the services that a chat needs, over one connection. */
export class Memos {
  readonly memories: MemoryServiceClient;
  readonly chats: ChatServiceClient;

  /**
   * Connects to MEMOS_ADDRESS; over TLS with MEMOS_CA_FILE, MEMOS_CERT_FILE and MEMOS_KEY_FILE. Calls that may be repeated
   * are, by gRPC itself.
   */
  constructor(environment: NodeJS.ProcessEnv = process.env) {
    const address = environment["MEMOS_ADDRESS"] || "127.0.0.1:7070";
    const options = { "grpc.service_config": SERVICE_CONFIG };
    this.memories = new MemoryServiceClient(address, channelCredentials(environment), options);
    const channelOverride = this.memories.getChannel();
    this.chats = new ChatServiceClient(address, channelCredentials(environment), { channelOverride });
  }

  close(): void {
    this.memories.close();
  }
}

function channelCredentials(environment: NodeJS.ProcessEnv): ChannelCredentials {
  const read = (name: string): Buffer | null => (environment[name] ? readFileSync(environment[name]) : null);
  const authority = read("MEMOS_CA_FILE");
  if (authority === null) return credentials.createInsecure();
  return credentials.createSsl(authority, read("MEMOS_KEY_FILE"), read("MEMOS_CERT_FILE"));
}

/** Returns what goes along with every call: the key, and the trace that it belongs to. */
export function metadata(traceId: string, key = process.env["MEMOS_API_KEY"] ?? ""): Metadata {
  const made = new Metadata();
  made.set("authorization", `Bearer ${key}`);
  made.set("traceparent", `00-${traceId}-${randomBytes(8).toString("hex")}-01`);
  return made;
}

/** Returns a new trace id. Programs that trace with OpenTelemetry take that of their span instead. */
export function newTraceId(): string {
  return randomBytes(16).toString("hex");
}

/** Calls a unary method of a generated client as a promise, with a deadline. */
export function call<Request, Response>(
  method: (
    request: Request,
    metadata: Metadata,
    options: { deadline: Date },
    done: (error: ServiceError | null, response: Response) => void,
  ) => unknown,
  request: Request,
  along: Metadata,
  seconds = 30,
): Promise<Response> {
  const deadline = new Date(Date.now() + seconds * 1000);
  return new Promise((resolve, reject) => {
    method(request, along, { deadline }, (error, response) => (error ? reject(error) : resolve(response)));
  });
}

/** Returns what an error says for programs; undefined for one that does not come from the system itself. */
export function reasonOf(error: unknown): ErrorInfo | undefined {
  const packed = (error as ServiceError).metadata?.get("grpc-status-details-bin")[0];
  if (!(packed instanceof Uint8Array)) return undefined;
  for (const detail of Status.decode(packed).details) {
    if (detail.typeUrl !== ERROR_INFO) continue;
    const info = ErrorInfo.decode(detail.value);
    if (info.domain === "memos") return info;
  }
  return undefined;
}
