// Nodes and their GPUs as they come, go silent and come back, and what that means for the work on them. Called by the engine.
import type { Event, Step, ToldOfGpu } from "../events.js";
import type { FleetHealth } from "../health/fleet-health.js";
import type { GpuInventory } from "../model/gpu.js";
import type { AttemptRef, NodeId } from "../model/ids.js";
import { gpusOf, type Request } from "../model/request.js";
import type { Preemption } from "../placement/preemption.js";
import { emit } from "../records.js";
import type { CoreSettings } from "../settings.js";
import type { State } from "../state.js";
import type { Attempts } from "./attempts.js";
import { Retirement } from "./retirement.js";

/** A node that is away, and until when what it has remains its own. */
interface Absence {
  /** When it was last heard, as far as is known, ms. */
  readonly sinceMs: number;
  /** From then on its work goes elsewhere, but for what must not run twice, ms. */
  lostAtMs: number;
  /** When its agent has certainly stopped the rest, ms. */
  readonly fencedAtMs: number;
  /** How often the router's own stalls have made it longer. */
  excuses: number;
}

/** What a process of a node may run on until it is fenced, though another has taken its place. */
interface Ghost {
  readonly fencedAtMs: number;
  /** The process; "" when that was before this router's time. */
  readonly instanceId: string;
  /** The one that has taken its place says that it holds what it had. */
  readonly isClaimed: boolean;
}

/** A router that stalls for ever finds the dead too. */
const MOST_EXCUSES = 8;
/** What was placed on a GPU so long after something happened to it was placed by who knew of that, ms: it is told at once, or the node is away. */
const KNOWN_AFTER_MS = 5_000;

export class Nodes {
  readonly #state: State;
  readonly #settings: CoreSettings;
  readonly #attempts: Attempts;
  readonly #preemption: Preemption;
  readonly #retirement: Retirement;
  readonly #health: FleetHealth;
  /** Of nodes that may hold work. */
  readonly #away = new Map<NodeId, Absence>();
  /** Attempts that must not run twice and that another agent process of their node was given, by node. */
  readonly #ghosts = new Map<NodeId, Map<string, Ghost>>();
  /** Until then whoever is cut off gets the time of a takeover: the router stood still, ms. */
  #lenientUntilMs = 0;

  constructor(state: State, settings: CoreSettings, attempts: Attempts, preemption: Preemption, health: FleetHealth) {
    this.#state = state;
    this.#settings = settings;
    this.#attempts = attempts;
    this.#preemption = preemption;
    this.#health = health;
    this.#retirement = new Retirement(state, settings);
  }

  /** A router took over: whoever holds work gets the time to come back. */
  takenOver(nowMs: number): void {
    for (const nodeId of this.#state.busyNodes()) this.#leaves(nodeId, nowMs, nowMs + this.#settings.takeoverGraceMs);
  }

  /** The router stood still: a moment is added to everybody's time; after a long one the agents have given it up and have to come back. */
  stalled(stalledMs: number, nowMs: number): void {
    const { nodeLostAfterMs, reconnectGraceMs, takeoverGraceMs } = this.#settings;
    const long = stalledMs >= nodeLostAfterMs;
    const graceUntilMs = nowMs + (long ? takeoverGraceMs : reconnectGraceMs);
    if (long) this.#lenientUntilMs = graceUntilMs;
    for (const absence of this.#away.values()) {
      if (absence.excuses >= MOST_EXCUSES) continue;
      absence.excuses += 1;
      absence.lostAtMs = Math.max(absence.lostAtMs, graceUntilMs);
    }
  }

  /** Its stream was cut, or given up after `silentMs` without a word: suspect at once, lost when it stays away. */
  disconnected(nodeId: NodeId, silentMs: number, nowMs: number, step: Step): void {
    const { nodeLostAfterMs, reconnectGraceMs } = this.#settings;
    const lostAtMs = silentMs >= nodeLostAfterMs ? nowMs : nowMs + reconnectGraceMs;
    this.#judge(nodeId, this.#leaves(nodeId, nowMs - silentMs, lostAtMs), nowMs, step);
  }

  #leaves(nodeId: NodeId, sinceMs: number, lostAtMs: number): Absence {
    const absence = { sinceMs, lostAtMs: Math.max(lostAtMs, this.#lenientUntilMs), fencedAtMs: sinceMs + this.#settings.fencedAfterMs, excuses: 0 };
    this.#away.set(nodeId, absence);
    this.#state.fleet.setConnected(nodeId, false, "", true);
    return absence;
  }

  /** Gives up the work of nodes that have been away for too long, and forgets what is gone for good. */
  tick(nowMs: number, step: Step): void {
    this.#retirement.tick(nowMs, step);
    for (const [nodeId, absence] of this.#away) this.#judge(nodeId, absence, nowMs, step);
    for (const [nodeId, ghosts] of this.#ghosts) this.#exorcise(nodeId, ghosts, nowMs, step);
  }

  /** Gives up what a replaced agent process has certainly stopped. */
  #exorcise(nodeId: NodeId, ghosts: Map<string, Ghost>, nowMs: number, step: Step): void {
    for (const request of this.#state.onNode(nodeId)) {
      const ghost = ghosts.get(nameOf(request));
      if (!ghost || ghost.isClaimed || nowMs < ghost.fencedAtMs) continue;
      const error = { code: "attempt_lost", message: `Another agent process of ${nodeId} has taken the place of the one that had attempt ${request.attempt}.` };
      this.#attempts.over(request, "lost", error, null, nowMs, step);
    }
    for (const [name, { fencedAtMs }] of ghosts) if (nowMs >= fencedAtMs) ghosts.delete(name);
    if (ghosts.size === 0) this.#ghosts.delete(nodeId);
  }

  #judge(nodeId: NodeId, { sinceMs, lostAtMs, fencedAtMs }: Absence, nowMs: number, step: Step): void {
    if (nowMs < lostAtMs) return;
    const fenced = nowMs >= fencedAtMs;
    if (fenced) this.#away.delete(nodeId);
    const { fleet } = this.#state;
    if (fleet.nodes.get(nodeId)?.suspect) fleet.setConnected(nodeId, false, "");
    const error = { code: "node_lost", message: `Nothing was heard of node ${nodeId} for ${nowMs - sinceMs} ms.` };
    for (const request of this.#state.onNode(nodeId)) {
      if (fenced || request.spec.idempotent) this.#attempts.over(request, "lost", error, null, nowMs, step);
    }
  }

  /** A node says hello: what it and we hold is made to agree. */
  connected(event: Extract<Event, { kind: "node_connected" }>, nowMs: number, step: Step): void {
    const { nodeId } = event;
    const { fleet } = this.#state;
    const sinceMs = this.#away.get(nodeId)?.sinceMs ?? nowMs;
    const before = fleet.nodes.get(nodeId)?.instanceId ?? "";
    const anew = before !== event.instanceId;
    const ghost: Ghost | null = anew ? { fencedAtMs: sinceMs + this.#settings.fencedAfterMs, instanceId: before, isClaimed: false } : null;
    this.#away.delete(nodeId);
    for (const inventory of event.gpus) this.#register(nodeId, inventory, step);
    fleet.setRunners(nodeId, event.runners);
    fleet.setConnected(nodeId, true, event.instanceId);
    const reported = new Set(event.gpus.map((gpu) => gpu.gpuId));
    this.#health.reported(nodeId, reported, anew, nowMs);
    this.#retirement.reported(nodeId, reported);

    // Reconcile: what the agent does not hold is lost, what we do not want it must stop and forget.
    const held = new Set(event.held.map(keyOf));
    for (const request of this.#state.onNode(nodeId)) {
      const ref: AttemptRef = { requestId: request.spec.requestId, attempt: request.attempt };
      const holds = held.has(keyOf(ref));
      const mayRunElsewhere = this.#mayRunElsewhere(request, event, ghost, holds);
      if (holds) {
        if (request.stop || this.#preemption.isStopping(ref) || this.#attempts.isOverdue(ref)) this.#attempts.tellToStop(request, step);
      } else if (!mayRunElsewhere) {
        const error = { code: "attempt_lost", message: `The agent of ${nodeId} does not hold attempt ${ref.attempt}.` };
        this.#attempts.over(request, "lost", error, null, nowMs, step);
      }
    }
    for (const ref of event.held) if (!this.#attempts.present(nodeId, ref)) this.#attempts.refuse(nodeId, ref, step);
  }

  /**
   * Whether another process than the one that says hello may still run an attempt. `ghost` is the process before; null when that is the same.
   * Who says of his own that he has it no more is believed, though another was there meanwhile. Of another's it counts until that one is
   * fenced, also when the new one claims to hold it: he may have it no more the next time.
   */
  #mayRunElsewhere(request: Request, { nodeId, instanceId }: Extract<Event, { kind: "node_connected" }>, ghost: Ghost | null, isClaimed: boolean): boolean {
    const ghosts = this.#ghosts.get(nodeId) ?? new Map<string, Ghost>();
    const name = nameOf(request);
    const known = ghosts.get(name) ?? ghost;
    if (!known || request.spec.idempotent) return false;
    if (known.instanceId === instanceId || (isClaimed && known.instanceId === "")) {
      ghosts.delete(name);
      return false;
    }
    this.#ghosts.set(nodeId, ghosts.set(name, { ...known, isClaimed }));
    return true;
  }

  #register(nodeId: NodeId, inventory: GpuInventory, step: Step): void {
    const { fleet } = this.#state;
    const known = fleet.indexOf(inventory.gpuId);
    if (known >= 0 && fleet.nodeOf[known]!.nodeId === nodeId && sameInventory(fleet.inventory[known]!, inventory)) return;
    emit(this.#state, { kind: "gpu_registered", index: known >= 0 ? known : fleet.size, nodeId, inventory }, step);
  }

  /** A node says that it has lost a GPU of its own, or what else became of it; some of that means that the work there is lost. */
  toldOfGpu(event: Extract<Event, { kind: "gpu_lost" | "gpu_report" }>, nowMs: number, step: Step): void {
    if (!this.#isNews(event)) return;
    const atMs = nowMs - (event.ageMs ?? 0);
    for (const gpu of this.#health.affectedBy(event.nodeId, event.gpuId)) {
      if (event.kind === "gpu_lost") {
        this.#health.lost(gpu, event.reason, atMs, nowMs);
        this.#dropWork(gpu, event.reason, atMs, nowMs, step);
      } else if (this.#health.report(gpu, event.report, atMs, nowMs)) {
        this.#dropWork(gpu, event.report.kind === "xid" ? `Xid ${event.report.xid}` : event.report.reason, atMs, nowMs, step);
      }
    }
  }

  /** Agents tell again what they are not sure was read. */
  #isNews({ nodeId, sequence }: ToldOfGpu): boolean {
    const node = this.#state.fleet.nodes.get(nodeId);
    if (!node || sequence === undefined) return true;
    if (sequence <= node.toldUpTo) return false;
    node.toldUpTo = sequence;
    return true;
  }

  /** What was placed there before, or before anybody could know. */
  #dropWork(gpu: number, reason: string, atMs: number, nowMs: number, step: Step): void {
    const { nodeId } = this.#state.fleet.nodeOf[gpu]!;
    const { gpuId } = this.#state.fleet.inventory[gpu]!;
    this.#state.fleet.cachesLost(gpu);
    for (const request of this.#state.onNode(nodeId)) {
      if (!gpusOf(request).includes(gpuId) || request.placedAtMs > atMs + KNOWN_AFTER_MS) continue;
      this.#attempts.tellToStop(request, step);
      // Work that must not run twice waits for the agent's word that it has stopped: the node lives and will say so.
      const error = { code: "gpu_lost", message: reason };
      if (request.spec.idempotent) this.#attempts.over(request, "lost", error, null, nowMs, step);
      else this.#attempts.awaitStop(request, error);
    }
  }
}

function keyOf(ref: AttemptRef): string {
  return `${ref.attempt} ${ref.requestId}`;
}

function nameOf({ spec, attempt }: Request): string {
  return keyOf({ requestId: spec.requestId, attempt });
}

function sameInventory(a: GpuInventory, b: GpuInventory): boolean {
  return (Object.keys(b) as (keyof GpuInventory)[]).every((key) => a[key] === b[key]);
}
