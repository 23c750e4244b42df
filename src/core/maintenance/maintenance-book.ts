// What is out of service and what is being restarted: the durable half, a fold of records. Part of the state; changed by `apply` in
// records.ts only. What follows from it for work and agents is maintenance.ts's.
import { hash32 } from "../../lib/random.js";
import type { Fleet } from "../fleet/fleet.js";
import type { GpuId } from "../model/ids.js";
import { isRestartOver, targetKey, type GpuMaintenance, type GpuRestart, type MaintenanceTarget, type MaintenanceWindow } from "../model/maintenance.js";

/** Restarts that have ended and can still be asked for. */
const ENDED_KEPT = 64;

/** Plain data for a snapshot. */
export interface StoredMaintenance {
  readonly windows: readonly MaintenanceWindow[];
  readonly restarts: readonly GpuRestart[];
}

export class MaintenanceBook {
  readonly #fleet: Fleet;
  readonly #windows = new Map<string, MaintenanceWindow>();
  /** By id, oldest first: those under way, and the last that ended. */
  readonly #restarts = new Map<string, GpuRestart>();

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
  }

  /** Whether nothing was ever set: costs nothing then. */
  get empty(): boolean {
    return this.#windows.size === 0 && this.#restarts.size === 0;
  }

  /** In the order in which they were set. */
  get windows(): readonly MaintenanceWindow[] {
    return [...this.#windows.values()];
  }

  /** Oldest first, those that ended lately included. */
  get restarts(): readonly GpuRestart[] {
    return [...this.#restarts.values()];
  }

  restart(restartId: string): GpuRestart | null {
    return this.#restarts.get(restartId) ?? null;
  }

  /** The one that is under way for a GPU. */
  restartOf(gpuId: GpuId): GpuRestart | null {
    for (const restart of this.#restarts.values()) if (restart.gpuId === gpuId && !isRestartOver(restart)) return restart;
    return null;
  }

  window(target: MaintenanceTarget): MaintenanceWindow | null {
    return this.#windows.get(targetKey(target)) ?? null;
  }

  setWindow(window: MaintenanceWindow): void {
    const key = targetKey(window.target);
    this.#windows.delete(key);
    this.#windows.set(key, window);
    this.#refresh(window.target);
  }

  endWindow(target: MaintenanceTarget): void {
    if (this.#windows.delete(targetKey(target))) this.#refresh(target);
  }

  setRestart(restart: GpuRestart): void {
    this.#restarts.set(restart.restartId, restart);
    if (isRestartOver(restart)) this.#forgetOldest();
    this.#refresh({ kind: "gpu", gpuId: restart.gpuId });
  }

  #forgetOldest(): void {
    let ended = 0;
    for (const restart of this.#restarts.values()) if (isRestartOver(restart)) ended += 1;
    for (const restart of this.#restarts.values()) {
      if (ended <= ENDED_KEPT) return;
      if (!isRestartOver(restart)) continue;
      this.#restarts.delete(restart.restartId);
      ended -= 1;
    }
  }

  /** Indexes of the fleet's GPUs that a target covers. O(GPUs). */
  gpusOf(target: MaintenanceTarget): number[] {
    const { inventory, nodes } = this.#fleet;
    if (target.kind === "node") return [...(nodes.get(target.nodeId)?.gpus ?? [])];
    const gpus: number[] = [];
    for (const [gpu, { gpuId, parentGpuId }] of inventory.entries()) if (gpuId === target.gpuId || parentGpuId === target.gpuId) gpus.push(gpu);
    return gpus;
  }

  /** A GPU was registered: what covers it holds for it too. */
  cover(gpu: number): void {
    const { maintenance } = this.#fleet;
    if (this.empty && !maintenance.has(gpu)) return;
    const why = this.#of(gpu);
    if (why) maintenance.set(gpu, why);
    else maintenance.delete(gpu);
    this.#fleet.refresh(gpu);
  }

  #refresh(target: MaintenanceTarget): void {
    for (const gpu of this.gpusOf(target)) this.cover(gpu);
  }

  #of(gpu: number): GpuMaintenance | null {
    const { gpuId, parentGpuId } = this.#fleet.inventory[gpu]!;
    const { nodeId } = this.#fleet.nodeOf[gpu]!;
    const restart = this.restartOf(gpuId) ?? (parentGpuId === "" ? null : this.restartOf(parentGpuId));
    if (restart) return { reason: `restart by ${restart.by.name}${because(restart.reason)}`, untilMs: 0 };
    const targets: MaintenanceTarget[] = [{ kind: "gpu", gpuId }, { kind: "gpu", gpuId: parentGpuId as GpuId }, { kind: "node", nodeId }];
    for (const target of targets) {
      const window = this.window(target);
      if (window) return { reason: `maintenance by ${window.by.name}${because(window.reason)}`, untilMs: window.untilMs };
    }
    return null;
  }

  stored(): StoredMaintenance {
    return { windows: this.windows, restarts: this.restarts };
  }

  restore({ windows, restarts }: StoredMaintenance): void {
    for (const window of windows) this.setWindow(window);
    for (const restart of restarts) this.setRestart(restart);
  }

  /** 32 bits; 0 when there is nothing. */
  digest(): number {
    if (this.empty) return 0;
    const windows = this.windows.map(({ target, drainByMs }) => `${targetKey(target)} ${drainByMs}`);
    const restarts = this.restarts.map(({ restartId, state }) => `${restartId} ${state}`);
    return hash32([...windows, ...restarts].join("\n"));
  }
}

function because(reason: string): string {
  return reason === "" ? "" : `: ${reason}`;
}
