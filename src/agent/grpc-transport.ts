// The agent's streams over gRPC: connections with the credentials as they are now. Used by router-connection.ts, which decides when to
// open what; knows nothing of what is said.
import { Client, Metadata, type ChannelCredentials } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { AgentService } from "../../gen/gpurouter/v1/agent_pb.js";
import { grpcMethodDefinition } from "../wire/grpc-service-definition.js";
import { callMetadata, channelCredentials, type CredentialSources } from "../wire/router-credentials.js";
import type { RouterStream, RouterTransport } from "./router-connection.js";

/** The channel's own back-off; the stream's decides, and the channel must not wait longer than it. */
const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 250;
/** Larger than any message with a result in it. */
const MAX_MESSAGE_BYTES = 96 << 20;

const METHOD = grpcMethodDefinition(AgentService.method.connect);

export class GrpcTransport implements RouterTransport {
  readonly #address: string;
  readonly #sources: CredentialSources;
  readonly #log: Logger;
  #client: Client | null = null;

  /** `address` is host:port. */
  constructor(address: string, sources: CredentialSources, log: Logger) {
    this.#address = address;
    this.#sources = sources;
    this.#log = log;
  }

  /** Throws when a file with credentials cannot be read, or the key would travel in plain text. */
  open(): void {
    callMetadata(this.#sources, this.#address);
    this.#client = this.#newClient(channelCredentials(this.#sources));
  }

  openStream(): RouterStream {
    if (!this.#client) throw new Error("Invariant broken: streams come from a transport that is open");
    return this.#client.makeBidiStreamRequest(METHOD.path, METHOD.requestSerialize, METHOD.responseDeserialize, this.#metadata(), {});
  }

  renew(): void {
    try {
      const client = this.#newClient(channelCredentials(this.#sources));
      this.#client?.close();
      this.#client = client;
    } catch (error) {
      // Somebody exchanges the files just now: the old connection must do until the next time.
      this.#log.warn({ trouble: error instanceof Error ? error.message : String(error) }, "no credentials for a new connection");
    }
  }

  close(): void {
    this.#client?.close();
  }

  #newClient(credentials: ChannelCredentials): Client {
    return new Client(this.#address, credentials, {
      "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
      "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
      "grpc.keepalive_time_ms": 10_000,
      "grpc.keepalive_timeout_ms": 5_000,
      "grpc.initial_reconnect_backoff_ms": FIRST_RETRY_MS,
      "grpc.max_reconnect_backoff_ms": LAST_RETRY_MS,
      "grpc.enable_channelz": 0,
      // A new client is a new connection: the old one may hang on lost packets for long.
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  /** Read for each try: a key may be exchanged while the agent runs. While its file cannot be read, the router says that it wants one. */
  #metadata(): Metadata {
    try {
      return callMetadata(this.#sources, this.#address);
    } catch (error) {
      this.#log.warn({ trouble: error instanceof Error ? error.message : String(error) }, "no key for the router");
      return new Metadata();
    }
  }
}
