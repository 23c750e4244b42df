// GPUs as people see them, and the feed of their changes. Reads the fleet; changes nothing.
import { setTimeout as delay } from "node:timers/promises";
import type { GpuChanges } from "../api/router-port.js";
import type { Engine } from "../core/engine.js";
import type { NodeEntry } from "../core/fleet/node-entry.js";
import { reaches, type GpuState, type GpuView, type RunnerLoad } from "../core/model/gpu.js";
import type { GpuId } from "../core/model/ids.js";
import type { Clock } from "./clock.js";

const DEFAULT_INTERVAL_MS = 100;
/** A stream says something at least this often, so that a reader can tell a quiet fleet from a dead stream. */
const QUIET_MS = 10_000;

export class GpuViews {
  readonly #engine: Engine;
  readonly #clock: Clock;

  constructor(engine: Engine, clock: Clock) {
    this.#engine = engine;
    this.#clock = clock;
  }

  all(): GpuView[] {
    const { fleet } = this.#engine.state;
    return [...fleet.inventory.keys()].filter((gpu) => !fleet.isRetired(gpu)).map((gpu) => this.#view(gpu));
  }

  /**
   * A snapshot, or what changed since `resumeToken`, then changes. Nothing is queued for a slow reader: each message is made
   * of the fleet as it is when the reader takes it.
   */
  async *watch(resumeToken: string, minIntervalMs: number, signal: AbortSignal): AsyncGenerator<GpuChanges> {
    const { fleet } = this.#engine.state;
    const intervalMs = minIntervalMs || DEFAULT_INTERVAL_MS;
    let seen = this.#resume(resumeToken);
    let sentAtMs = 0;
    for (let first = true; !signal.aborted; first = false) {
      const snapshot = first && seen < 0;
      const since = seen;
      const now = this.#clock.now();
      const gpus: GpuView[] = [];
      if (fleet.changeSequence > since || first) {
        for (let gpu = 0; gpu < fleet.size; gpu += 1) if (!fleet.isRetired(gpu) && (snapshot || fleet.changedAt[gpu]! > since)) gpus.push(this.#view(gpu));
      }
      const removed = snapshot ? [] : this.#removedSince(since);
      if (first || gpus.length > 0 || removed.length > 0 || now - sentAtMs >= QUIET_MS) {
        seen = fleet.changeSequence;
        sentAtMs = now;
        yield { sequence: seen, snapshot, gpus, ...(removed.length > 0 && { removed }), resumeToken: `${this.#engine.state.epoch}.${seen}`, atMs: now };
      }
      await delay(intervalMs, undefined, { signal }).catch(() => {});
    }
  }

  /** One that came back since has a new index, and is there. */
  #removedSince(sequence: number): GpuId[] {
    const { fleet } = this.#engine.state;
    const removed = [...fleet.retiredIds].filter(([gpu, gpuId]) => fleet.changedAt[gpu]! > sequence && fleet.indexOf(gpuId) < 0);
    return removed.map(([, gpuId]) => gpuId);
  }

  /** -1 when the token is not of this router's life: change numbers start anew with each epoch. */
  #resume(token: string): number {
    const match = /^(\d+)\.(\d+)$/.exec(token);
    const { epoch, fleet } = this.#engine.state;
    if (!match || Number(match[1]) !== epoch || Number(match[2]) > fleet.changeSequence) return -1;
    return Number(match[2]);
  }

  #view(gpu: number): GpuView {
    const { fleet, queue } = this.#engine.state;
    const inventory = fleet.inventory[gpu]!;
    const node = fleet.nodeOf[gpu]!;
    const { health } = this.#engine;
    const healthDetails = health.view(gpu);
    const maintenance = fleet.maintenance.get(gpu);
    const [state, stateReason] = maintenance
      ? [fleet.active[gpu]! > 0 ? ("draining" as const) : ("maintenance" as const), maintenance.reason]
      : stateOf(node, fleet.health.isOut(gpu), healthDetails.signs[0] ?? "");
    const sampledAtMs = fleet.sampleAtMs[gpu]!;
    const served = node.runners.filter((runner) => reaches(runner, inventory.gpuId));
    return {
      inventory,
      index: gpu,
      nodeId: node.nodeId,
      state,
      stateReason,
      maintenanceUntilMs: maintenance?.untilMs ?? 0,
      health: health.status(gpu),
      healthDetails,
      telemetry: fleet.telemetry[gpu] ?? null,
      telemetryAgeMs: sampledAtMs === 0 ? -1 : Math.max(0, this.#clock.now() - sampledAtMs),
      memoryReservedMib: fleet.reservedMib[gpu]!,
      performanceIndex: fleet.performanceIndex[gpu]!,
      errorRate: fleet.health.errorRate[gpu]!,
      activeRequests: fleet.active[gpu]!,
      exclusive: fleet.exclusive[gpu]! > 0,
      queuedRequests: queue.counts.pinnedTo(inventory.gpuId),
      models: [...new Set(served.flatMap((runner) => runner.models))],
      engineLoads: served.flatMap(({ name }): RunnerLoad[] => {
        const told = node.loads.get(name);
        return told ? [{ ...told.load, ageMs: Math.max(0, this.#clock.now() - told.atMs) }] : [];
      }),
    };
  }
}

function stateOf({ connected, suspect }: NodeEntry, out: boolean, reason: string): [GpuState, string] {
  if (suspect) return ["suspect", "its node was cut off a moment ago; it keeps its work for now"];
  if (!connected) return ["inactive", "its node is not connected"];
  return out ? ["error", reason] : ["active", ""];
}
