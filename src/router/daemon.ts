// One router process: journal, router, gRPC and HTTP ports, and the order in which they start and stop.
// Used by the commands `serve` and `up`; signals and output are theirs.
import type { Logger } from "pino";
import { AgentService } from "../../gen/gpurouter/v1/agent_pb.js";
import { AdminService } from "../../gen/gpurouter/v1/admin_pb.js";
import { IdentityService } from "../../gen/gpurouter/v1/identity_pb.js";
import { QuotaService } from "../../gen/gpurouter/v1/quota_pb.js";
import { createAdminService } from "../api/admin-service.js";
import { createGrpcServer } from "../api/grpc-server.js";
import { createHttpServer } from "../api/http-server.js";
import { createIdentityService } from "../api/identity-service.js";
import { createQuotaService } from "../api/quota-service.js";
import { createRouterService } from "../api/router-service.js";
import { TlsFiles } from "../api/tls-files.js";
import { createValidation } from "../api/validation.js";
import type { Principal } from "../auth/principal.js";
import type { RouterConfig } from "../config/router-config.js";
import { LmdbJournal } from "../journal/lmdb-journal.js";
import { readVaultKey } from "../journal/vault-key.js";
import { Recorder } from "../recording/recorder.js";
import { prepareDelivery } from "./callback-delivery.js";
import { agentDoor } from "./agent-door.js";
import { monotonicClock } from "./clock.js";
import { openIdentity } from "./identity.js";
import { Router } from "./router.js";

/** A result in a message has this much around it at most. */
const MESSAGE_OVERHEAD_BYTES = 1 << 20;

/** One connection may watch this many requests; a client that watches all it sends must not lock itself out of Route. */
const MAX_CALLS_PER_CONNECTION = 25_000;

export interface Daemon {
  /** host:port of the gRPC port. */
  readonly grpcAddress: string;
  /** host:port of the HTTP port. */
  readonly httpAddress: string;
  readonly epoch: number;
  /** Whether every call must say who it is from. */
  readonly wantsKeys: boolean;
  readonly liveRequests: number;
  /** A key for another part of this process, such as its agent; known to this process alone. */
  ownKey(principal: Principal): string;
  /** Refuses new calls, gives those under way `graceMs`, makes everything durable, closes. */
  stop(graceMs: number): Promise<void>;
}

/** `version` is that of gpu-router. Rejects with what to do when a port, the data directory or the journal cannot be used. */
export async function startDaemon(config: RouterConfig, version: string, log: Logger, onJournalFailure: (error: Error) => void): Promise<Daemon> {
  const key = readVaultKey(config.encryptionKeyFile);
  const journal = await LmdbJournal.open(config.dataDirectory, key);
  let httpAddress = "";
  const { recording, tls: tlsConfig } = config;
  const recorder = recording.file === "" ? null : await Recorder.open({ ...recording, settings: config.core, version, log });
  let router: Router;
  try {
    router = new Router({
      settings: config.core,
      agentTerms: config.agentTerms,
      retention: config.retention,
      journal,
      clock: monotonicClock(),
      log,
      resultBaseUrl: () => (httpAddress === "" ? "" : `${tlsConfig.cert === "" ? "http" : "https"}://${httpAddress}`),
      onJournalFailure,
      delivery: prepareDelivery(config.callbacks, journal, version, log),
      recorder,
    });
  } catch (error) {
    await recorder?.close(0);
    await journal.close();
    throw error;
  }
  let closeIdentity = (): Promise<void> => Promise.resolve();
  let tls: TlsFiles | null = null;
  const close = async (): Promise<void> => {
    tls?.stop();
    await closeIdentity();
    await router.stop();
  };
  try {
    const { audit, authenticator, book, guard, close: closeStore } = openIdentity(config.dataDirectory, key, config.auth, log);
    closeIdentity = closeStore;
    tls = tlsConfig.cert === "" ? null : new TlsFiles(tlsConfig, log);
    const validate = createValidation();
    const services = [
      { service: AdminService, handlers: createAdminService(router.admin, audit, Date.now, validate) },
      { service: QuotaService, handlers: createQuotaService(router.quotas, audit, validate) },
      { service: IdentityService, handlers: createIdentityService(book, audit, Date.now, validate) },
    ];
    const entrance = { host: config.host, guard, tls, encryptedByProxy: tlsConfig.terminatedByProxy, services, log };
    const service = createRouterService(router, Date.now, validate);
    const maxRequestBytes = Math.max(config.maxMessageBytes, config.agentTerms.maxResultBytes + MESSAGE_OVERHEAD_BYTES);
    const http = createHttpServer({
      ...entrance,
      port: config.httpPort,
      router: service,
      results: router,
      maxRequestBytes: config.maxMessageBytes,
      healthDetails: () => ({ epoch: router.epoch, live_requests: router.liveRequests, connected_nodes: router.agents.connectedNodes, late_results: router.figures.lateResults, retries_held_back: router.figures.retriesHeldBack }),
    });
    const grpc = createGrpcServer({
      ...entrance,
      port: config.grpcPort,
      router: service,
      extraServices: [{ service: AgentService, implementation: { connect: agentDoor(router.agents.connect, guard) } }],
      maxRequestBytes,
      maxConcurrentCalls: MAX_CALLS_PER_CONNECTION,
    });
    // Nobody is told of this life's epoch before it is durable, or a crash could bring the same one back.
    await router.durable();
    httpAddress = `${config.host}:${await http.listen()}`;
    const grpcPort = await grpc.listen().catch(async (error: unknown) => {
      await http.drain(0);
      throw error;
    });
    const grpcAddress = `${config.host}:${grpcPort}`;
    return {
      grpcAddress,
      httpAddress,
      epoch: router.epoch,
      get wantsKeys() {
        return guard.on;
      },
      get liveRequests() {
        return router.liveRequests;
      },
      ownKey: (principal) => authenticator.ownKey(principal),
      async stop(graceMs) {
        router.drain();
        const closed = Promise.all([grpc.drain(graceMs), http.drain(graceMs)]);
        // Until then the agents tell what those who watch are waiting for.
        await router.unwatched();
        router.agents.close();
        await closed;
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}
