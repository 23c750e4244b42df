// The streams of the agents: accepts hellos, turns messages into engine events and effects into messages.
// One session per node. Liveness and folding are link/router-session.ts's; decisions are the engine's.
import { createValidator } from "@bufbuild/protovalidate";
import { create } from "@bufbuild/protobuf";
import { status, type ServerDuplexStream } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { AgentHelloSchema, ConnectRequestSchema, WelcomeSchema, type ConnectRequest, type ConnectResponse } from "../../gen/gpurouter/v1/agent_pb.js";
import { callerOf } from "../api/grpc-guard.js";
import { speaksFor } from "../auth/principal.js";
import type { AgentTerms } from "../config/router-config.js";
import type { Effect, Event } from "../core/events.js";
import type { AttemptRef, GpuId, NodeId } from "../core/model/ids.js";
import { putLast } from "../lib/put-last.js";
import { RouterSession } from "../link/router-session.js";
import { StallWatch } from "../link/stall-watch.js";
import {
  attemptEndOf,
  connectedEvent,
  dispatchOf,
  fractionOf,
  gpuEventOf,
  modelOrderOf,
  protoRef,
  refOf,
  restartedEvent,
  restartOrderOf,
  runnerLoadOf,
  runnersOf,
  telemetryOf,
} from "./agent-codec.js";
import type { Clock } from "./clock.js";

type AgentStream = ServerDuplexStream<ConnectRequest, ConnectResponse>;

export interface AgentSessionsOptions {
  readonly terms: AgentTerms;
  readonly clock: Clock;
  readonly log: Logger;
  readonly step: (event: Event) => void;
  readonly epoch: () => number;
  /** Whether this is a live attempt of which the engine has seen no sign of life. */
  readonly isUnanswered: (ref: AttemptRef) => boolean;
  /** The node that is connected with a GPU now; "" when there is none, or when left out. */
  readonly nodeWith?: (gpuId: GpuId) => NodeId | "";
  /** Live output and progress for watchers, as the node says; not durable. */
  readonly onOutput: (ref: AttemptRef, offset: number, data: Uint8Array, nodeId: NodeId) => void;
  readonly onProgress: (ref: AttemptRef, fraction: number, message: string, nodeId: NodeId) => void;
}

/** One for all: it compiles the rules of a message when it first meets one, which takes some 10 ms. */
const validator = createValidator();

/** Looks at who is silent and who is owed a heartbeat, per heartbeat interval. */
const LOOKS_PER_HEARTBEAT = 10;
/** An agent is more patient with a silent router than the router with it: it has only one. */
const SILENT_ROUTER_FACTOR = 2;
/** Nodes whose last hello is remembered. */
const MAX_HELLOS = 16_384;

export class AgentSessions {
  readonly #options: AgentSessionsOptions;
  readonly #byNode = new Map<string, { readonly session: RouterSession; readonly stream: AgentStream }>();
  /** The last hello of each node, connected or not: one that was overtaken on its way must not replace it. */
  readonly #helloOf = new Map<string, { readonly instanceId: string; readonly beat: bigint }>();
  readonly #dirty = new Set<string>();
  readonly #blocked = new Set<string>();
  readonly #timer: NodeJS.Timeout;
  readonly #stalls: StallWatch;
  #closing = false;

  constructor(options: AgentSessionsOptions) {
    this.#options = options;
    const everyMs = options.terms.heartbeatIntervalMs / LOOKS_PER_HEARTBEAT;
    this.#stalls = new StallWatch(everyMs);
    this.#timer = setInterval(() => this.#look(), everyMs);
  }

  get connectedNodes(): number {
    return this.#byNode.size;
  }

  /** grpc-js handler of AgentService.Connect. */
  readonly connect = (stream: AgentStream): void => {
    let session: RouterSession | null = null;
    stream.on("data", (message: ConnectRequest) => {
      const invalid = this.#invalid(message);
      if (invalid) {
        refuse(stream, status.INVALID_ARGUMENT, invalid);
        return;
      }
      if (session) this.#received(session, stream, message);
      else session = this.#hello(stream, message);
    });
    const gone = (): void => {
      if (session) this.#gone(session, stream);
    };
    stream.on("end", () => {
      // The agent said goodbye; anything else is trouble.
      if (session) this.#gone(session, stream, "info");
      stream.end();
    });
    stream.on("cancelled", gone);
    stream.on("close", gone);
    stream.on("error", gone);
  };

  /** Performs an effect that concerns an agent. What cannot be sent now is settled when the node says hello again. */
  perform(effect: Extract<Effect, { nodeId: NodeId }>): void {
    const entry = this.#byNode.get(effect.nodeId);
    // An effect is performed when its records are durable, and another process may have come in the place of the one that it is for. That
    // one is thought to have it until it has certainly stopped.
    if (!entry || ("instanceId" in effect && effect.instanceId !== entry.session.instanceId)) return;
    switch (effect.kind) {
      case "dispatch": {
        const { request, attempt } = effect;
        const isWanted = (): boolean => request.phase === "placed" && request.attempt === attempt;
        // The node may have come back since the placement and made it void: only the present attempt is sent.
        entry.session.dispatch(dispatchOf(effect, this.#options.clock.now()), isWanted);
        break;
      }
      case "cancel_attempt":
        entry.session.cancel(protoRef(effect.ref));
        break;
      case "acknowledge":
        // Nobody waits for it: it travels with the next dispatch or heartbeat.
        entry.session.acknowledge(protoRef(effect.ref));
        return;
      case "order_model":
        entry.session.order(modelOrderOf(effect.order));
        break;
      case "restart_gpu":
        entry.session.restart(restartOrderOf(effect));
        break;
    }
    if (this.#dirty.size === 0) setImmediate(() => this.#flush());
    this.#dirty.add(effect.nodeId);
  }

  close(): void {
    this.#closing = true;
    clearInterval(this.#timer);
    for (const { stream } of this.#byNode.values()) stream.end();
  }

  #invalid(message: ConnectRequest): string | null {
    // Events dominate and their fields are checked by what they refer to; the rest is rare enough for the full rules.
    if (!message.hello && !message.runners) return message.events.every((event) => event.ref) ? null : "events[].ref: must be set";
    const result = message.hello ? validator.validate(AgentHelloSchema, message.hello) : validator.validate(ConnectRequestSchema, message);
    return result.kind === "valid" ? null : (result.error?.message ?? "invalid message");
  }

  #hello(stream: AgentStream, { hello, beat }: ConnectRequest): RouterSession | null {
    const { clock, epoch, log, step, terms, nodeWith = () => "" } = this.#options;
    if (this.#closing) return refuse(stream, status.UNAVAILABLE, "The router is stopping.");
    if (!hello) return refuse(stream, status.FAILED_PRECONDITION, "The first message of the stream must be a hello.");
    const caller = callerOf(stream);
    if (!speaksFor(caller.principal, hello.nodeId)) {
      caller.refused(`node ${hello.nodeId}`, "speaks for another");
      return refuse(stream, status.PERMISSION_DENIED, `The agent's key is not for node ${hello.nodeId}: make one with \`gpu-router keys create --role agent --node ${hello.nodeId}\`.`);
    }
    if (hello.highestEpoch > BigInt(epoch())) return refuse(stream, status.FAILED_PRECONDITION, `The agent has obeyed epoch ${hello.highestEpoch}; this router has epoch ${epoch()}.`);
    const { nodeId, instanceId } = hello;
    if (this.#overtaken(nodeId, instanceId, beat)) return refuse(stream, status.ABORTED, `A later hello of ${nodeId} has come before this one.`);
    const taken = hello.gpus.find((gpu) => ![nodeId, ""].includes(nodeWith(gpu.gpuId as GpuId)));
    if (taken) return refuse(stream, status.ALREADY_EXISTS, `GPU ${taken.gpuId} is connected by node ${nodeWith(taken.gpuId as GpuId)}: a GPU belongs to one node.`);
    const before = this.#byNode.get(nodeId);
    if (before) {
      if (before.session.instanceId !== instanceId && before.session.lively(clock.now())) {
        return refuse(stream, status.ALREADY_EXISTS, `Node ${nodeId} is connected by another agent: give each agent its own node_id.`);
      }
      this.#byNode.delete(nodeId);
      this.#blocked.delete(nodeId);
      before.stream.end();
      step({ kind: "node_disconnected", nodeId: nodeId as NodeId });
    }
    const { nodeLostAfterMs, ...told } = terms;
    const welcome = create(WelcomeSchema, { epoch: BigInt(epoch()), ...told, silentAfterMs: SILENT_ROUTER_FACTOR * nodeLostAfterMs });
    const session = new RouterSession({ nodeId, instanceId, welcome, beat, lostAfterMs: nodeLostAfterMs }, clock.now());
    this.#byNode.set(nodeId, { session, stream });
    putLast(this.#helloOf, nodeId, { instanceId, beat }, MAX_HELLOS);
    this.#send(session, stream);
    step(connectedEvent(hello));
    log.info({ node: nodeId, gpus: hello.gpus.length, held: hello.held.length, agentVersion: hello.agentVersion }, "agent connected");
    return session;
  }

  /** What an agent has given up may still be on its way: its hello says what was held then. Beats count over all streams of a process. */
  #overtaken(nodeId: string, instanceId: string, beat: bigint): boolean {
    const last = this.#helloOf.get(nodeId);
    return beat > 0n && last?.instanceId === instanceId && beat <= last.beat;
  }

  #received(session: RouterSession, stream: AgentStream, message: ConnectRequest): void {
    if (this.#byNode.get(session.nodeId)?.session !== session) return;
    const { step, isUnanswered, onOutput, onProgress, clock } = this.#options;
    const nodeId = session.nodeId as NodeId;
    session.heard(message.beat, clock.now());
    if (message.hello) {
      refuse(stream, status.FAILED_PRECONDITION, "A stream has one hello, as its first message.");
      return;
    }
    if (message.runners) step({ kind: "runners_changed", nodeId, runners: runnersOf(message.runners) });
    for (const { ref, event } of message.events) {
      if (!ref) continue;
      if (event.case === "started") step({ kind: "attempt_started", nodeId, ref: refOf(ref) });
      else if (event.case === "ended") step({ kind: "attempt_ended", nodeId, ref: refOf(ref), end: attemptEndOf(event.value) });
      else if (event.case === "output") {
        if (isUnanswered(refOf(ref))) step({ kind: "attempt_answered", nodeId, ref: refOf(ref) });
        onOutput(refOf(ref), Number(event.value.offset), event.value.data, nodeId);
      } else if (event.case === "progress") {
        const fraction = fractionOf(event.value.fraction);
        if (fraction === null) continue;
        step({ kind: "attempt_progress", nodeId, ref: refOf(ref), fraction });
        onProgress(refOf(ref), fraction, event.value.message, nodeId);
      }
    }
    if (message.telemetry.length > 0) step({ kind: "telemetry", nodeId, samples: message.telemetry.map(telemetryOf) });
    if (message.runnerLoads.length > 0) step({ kind: "runner_load", nodeId, loads: message.runnerLoads.map(runnerLoadOf) });
    for (const report of message.restartReports) step(restartedEvent(nodeId, report));
    for (const told of message.gpuEvents) {
      const event = gpuEventOf(nodeId, told);
      if (event) step(event);
    }
  }

  /** `silentMs` is how long nothing was heard, where that is the reason. */
  #gone(session: RouterSession, stream: AgentStream, level: "info" | "warn" = "warn", silentMs = 0): void {
    if (this.#byNode.get(session.nodeId)?.stream !== stream) return;
    this.#byNode.delete(session.nodeId);
    this.#blocked.delete(session.nodeId);
    if (this.#closing) return;
    this.#options.log[level]({ node: session.nodeId }, "agent disconnected");
    this.#options.step({ kind: "node_disconnected", nodeId: session.nodeId as NodeId, ...(silentMs > 0 && { silentMs }) });
  }

  #look(): void {
    const now = this.#options.clock.now();
    // What came meanwhile lies unread.
    if (this.#stalls.look(now) > 0) for (const { session } of this.#byNode.values()) session.excuse(now);
    for (const { session, stream } of this.#byNode.values()) {
      if (session.silent(now)) {
        const silentMs = session.silentMs(now);
        this.#options.log.warn({ node: session.nodeId, silentMs }, "agent silent; dropping its stream");
        this.#gone(session, stream, "warn", silentMs);
        // Not destroy(): that tells an agent which comes back nothing, and it would talk to a dead stream for ever.
        refuse(stream, status.UNAVAILABLE, `Nothing was heard of ${session.nodeId} for ${silentMs} ms.`);
      } else {
        this.#send(session, stream);
      }
    }
  }

  #flush(): void {
    const nodes = [...this.#dirty];
    this.#dirty.clear();
    for (const nodeId of nodes) {
      const entry = this.#byNode.get(nodeId);
      if (entry) this.#send(entry.session, entry.stream);
    }
  }

  /** Sends what is due, unless the stream is full; then it is folded into few messages when it has drained. */
  #send(session: RouterSession, stream: AgentStream): void {
    if (this.#blocked.has(session.nodeId)) return;
    let full = false;
    do {
      const message = session.take(this.#options.clock.now());
      if (!message) return;
      full = !stream.write(message);
    } while (!full && session.hasMore);
    if (!full) return;
    this.#blocked.add(session.nodeId);
    stream.once("drain", () => {
      if (this.#byNode.get(session.nodeId)?.session !== session) return;
      this.#blocked.delete(session.nodeId);
      this.#send(session, stream);
    });
  }
}

function refuse(stream: AgentStream, code: status, details: string): null {
  stream.emit("error", { code, details });
  return null;
}
