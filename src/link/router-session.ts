// The router's end of one agent stream, without I/O: what is to be sent, folded into as few messages as possible, and how
// long ago the agent was heard. Driven by router/agent-sessions.ts with a real clock, by a simulator with a virtual one.
import { create } from "@bufbuild/protobuf";
import { ConnectResponseSchema, type AttemptRef, type ConnectResponse, type Dispatch, type ModelOrder, type RestartOrder, type Welcome } from "../../gen/gpurouter/v1/agent_pb.js";
import { attemptKey } from "./attempt-key.js";

/** Keeps large payloads from holding up heartbeats for long. */
const MAX_BYTES_PER_MESSAGE = 4 << 20;
/** So often the router's own stalls excuse one silence; one that stalls for ever finds the dead too. */
const MOST_EXCUSES = 8;

export interface RouterSessionOptions {
  readonly nodeId: string;
  readonly instanceId: string;
  readonly welcome: Welcome;
  /** Of the hello. */
  readonly beat: bigint;
  /** How long the agent may be silent before its stream is given up, ms. */
  readonly lostAfterMs: number;
}

interface Unsent {
  readonly dispatch: Dispatch;
  readonly isWanted: () => boolean;
}

export class RouterSession {
  readonly nodeId: string;
  readonly instanceId: string;
  readonly #welcome: Welcome;
  #welcomed = false;
  #dispatches: Unsent[] = [];
  #cancels: AttemptRef[] = [];
  #acknowledged: AttemptRef[] = [];
  /** The last word on each model of each runner. */
  readonly #orders = new Map<string, ModelOrder>();
  #restarts: RestartOrder[] = [];
  /** How long an agent may be silent before its stream is given up, ms. */
  readonly #lostAfterMs: number;
  #heardAtMs: number;
  #heardBeat: bigint;
  #excusedAtMs = Number.NEGATIVE_INFINITY;
  #excuses = 0;
  #sentAtMs = 0;

  /** Made of a hello, which had `beat`. */
  constructor({ nodeId, instanceId, welcome, beat, lostAfterMs }: RouterSessionOptions, nowMs: number) {
    this.nodeId = nodeId;
    this.instanceId = instanceId;
    this.#welcome = welcome;
    this.#lostAfterMs = lostAfterMs;
    this.#heardAtMs = nowMs;
    this.#heardBeat = beat;
  }

  /** A message was read. */
  heard(beat: bigint, nowMs: number): void {
    this.#heardAtMs = nowMs;
    this.#excuses = 0;
    if (beat > this.#heardBeat) this.#heardBeat = beat;
  }

  /** The router itself stood still and could not hear. */
  excuse(nowMs: number): void {
    if (this.#excuses >= MOST_EXCUSES) return;
    this.#excuses += 1;
    this.#excusedAtMs = nowMs;
  }

  /** For how long nothing was heard that could have been, ms. */
  silentMs(nowMs: number): number {
    return nowMs - Math.max(this.#heardAtMs, this.#excusedAtMs);
  }

  /** Whether the agent has been silent for so long that the stream is dead, whatever the network says. */
  silent(nowMs: number): boolean {
    return this.silentMs(nowMs) > this.#lostAfterMs;
  }

  /** Whether the agent was heard within the last two heartbeats. */
  lively(nowMs: number): boolean {
    return nowMs - this.#heardAtMs <= 2 * this.#welcome.heartbeatIntervalMs;
  }

  /** To be sent, unless it `isWanted` no longer when its turn comes: a full stream may keep it for a while. */
  dispatch(dispatch: Dispatch, isWanted: () => boolean = () => true): void {
    this.#dispatches.push({ dispatch, isWanted });
  }

  cancel(ref: AttemptRef): void {
    this.#cancels.push(ref);
  }

  acknowledge(ref: AttemptRef): void {
    this.#acknowledged.push(ref);
  }

  /** A later order for the same model of the same runner takes the place of one that was not sent yet. */
  order(order: ModelOrder): void {
    this.#orders.set(`${order.runner}\n${order.modelId}`, order);
  }

  restart(order: RestartOrder): void {
    this.#restarts.push(order);
  }

  /** All that is to be sent now as one message; a heartbeat when that is due; else null. Acknowledgements alone wait for either. */
  take(nowMs: number): ConnectResponse | null {
    if (this.#dispatches.length > 0) this.#dispatches = this.#dispatches.filter(({ isWanted }) => isWanted());
    const work = this.#dispatches.length + this.#cancels.length + this.#orders.size + this.#restarts.length;
    if (this.#welcomed && work === 0 && nowMs - this.#sentAtMs < this.#welcome.heartbeatIntervalMs) return null;
    const cancels = this.#takeCancels();
    const message = create(ConnectResponseSchema, { dispatches: this.#takeDispatches(), cancels, acknowledged: this.#acknowledged, heardBeat: this.#heardBeat });
    if (!this.#welcomed) message.welcome = this.#welcome;
    this.#welcomed = true;
    if (this.#orders.size > 0) message.modelOrders = [...this.#orders.values()];
    this.#orders.clear();
    if (this.#restarts.length > 0) message.restartOrders = this.#restarts.splice(0);
    this.#acknowledged = [];
    this.#sentAtMs = nowMs;
    return message;
  }

  /** Whether `take` left something behind for the next message. */
  get hasMore(): boolean {
    return this.#dispatches.length > 0 || this.#cancels.length > 0;
  }

  /** A cancel goes out in a message behind its dispatch's: the agent knows nothing of what it has not been sent. */
  #takeCancels(): AttemptRef[] {
    const cancels = this.#cancels;
    if (cancels.length === 0 || this.#dispatches.length === 0) {
      this.#cancels = [];
      return cancels;
    }
    const unsent = new Set(this.#dispatches.flatMap(({ dispatch: { ref } }) => (ref ? attemptKey(ref) : [])));
    const early = (ref: AttemptRef): boolean => unsent.has(attemptKey(ref));
    this.#cancels = cancels.filter(early);
    return cancels.filter((ref) => !early(ref));
  }

  /** As many dispatches as fit one message; at least one when there is any. */
  #takeDispatches(): Dispatch[] {
    let count = 0;
    let bytes = 0;
    for (const { dispatch } of this.#dispatches) {
      bytes += dispatch.payload.byteLength;
      if (count > 0 && bytes > MAX_BYTES_PER_MESSAGE) break;
      count += 1;
    }
    return this.#dispatches.splice(0, count).map(({ dispatch }) => dispatch);
  }
}
