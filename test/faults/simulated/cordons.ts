// What operators have taken out of service, folded from records alone, and what that forbids. Made by world.ts, for what is on the disk and for
// what this life of the router knows.
import type { Engine } from "../../../src/core/engine.js";
import { targetKey, type MaintenanceTarget } from "../../../src/core/model/maintenance.js";
import { gpusOf, wishesOf } from "../../../src/core/model/request.js";
import type { Record } from "../../../src/core/records.js";
import { Violation } from "./violation.js";

/** How late a tick may be when nobody pauses the router, ms. */
const TIMER_SLACK_MS = 200;

interface Window {
  readonly target: MaintenanceTarget;
  readonly drainByMs: number;
}

interface Restart {
  readonly gpuId: string;
  readonly force: boolean;
  readonly isOver: boolean;
}

export class Cordons {
  readonly #places = new Map<string, { readonly nodeId: string; readonly parentGpuId: string }>();
  readonly #windows = new Map<string, Window>();
  readonly #restarts = new Map<string, Restart>();

  /** One that goes on from here by itself. */
  copy(): Cordons {
    const copy = new Cordons();
    for (const [gpuId, place] of this.#places) copy.#places.set(gpuId, place);
    for (const [key, window] of this.#windows) copy.#windows.set(key, window);
    for (const [restartId, restart] of this.#restarts) copy.#restarts.set(restartId, restart);
    return copy;
  }

  get anyRestart(): boolean {
    return [...this.#restarts.values()].some(({ isOver }) => !isOver);
  }

  isForced(restartId: string): boolean {
    return this.#restarts.get(restartId)?.force ?? false;
  }

  /** Takes a record in; throws when it places work where none may go. */
  fold(record: Record): void {
    switch (record.kind) {
      case "gpu_registered":
        this.#places.set(record.inventory.gpuId, { nodeId: record.nodeId, parentGpuId: record.inventory.parentGpuId });
        return;
      case "maintenance_set":
        if (record.on) this.#windows.set(targetKey(record.target), { target: record.target, drainByMs: record.drainByMs });
        else this.#windows.delete(targetKey(record.target));
        return;
      case "gpu_restart_requested":
        this.#restarts.set(record.restartId, { gpuId: record.gpuId, force: record.force, isOver: false });
        return;
      case "gpu_restart_ended":
        this.#restarts.set(record.restartId, { gpuId: record.gpuId, force: false, isOver: true });
        return;
      case "placed":
        for (const gpuId of gpusOf(record)) this.#judge(record.requestId, gpuId);
        return;
      default:
    }
  }

  /** When the time of a drain is up, what may begin elsewhere does. */
  judgeDrains({ state }: Engine, nowMs: number): void {
    for (const { target, drainByMs } of this.#windows.values()) {
      if (drainByMs === 0 || nowMs <= drainByMs + TIMER_SLACK_MS) continue;
      for (const request of state.requests.values()) {
        const { spec, phase, stop } = request;
        // What stops already ends by that, and what may be pre-empted perhaps stops for somebody.
        if (phase === "queued" || stop || !spec.idempotent || wishesOf(spec).preemptible) continue;
        const gpuId = gpusOf(request).find((one) => this.#isOf(one, target));
        if (gpuId !== undefined) throw new Violation("drainsEnd", `${spec.requestId} is on ${gpuId} ${Math.round(nowMs - drainByMs)} ms after the end of its drain`);
      }
    }
  }

  #judge(requestId: string, gpuId: string): void {
    const window = [...this.#windows.values()].find(({ target }) => this.#isOf(gpuId, target));
    const restart = [...this.#restarts.values()].find((one) => !one.isOver && this.#isOf(gpuId, { kind: "gpu", gpuId: one.gpuId } as MaintenanceTarget));
    if (window || restart) throw new Violation("noNewWorkOutOfService", `${requestId} goes to ${gpuId}, which ${window ? "is out of service" : "is to be restarted"}`);
  }

  #isOf(gpuId: string, target: MaintenanceTarget): boolean {
    const { nodeId, parentGpuId } = this.#places.get(gpuId) ?? { nodeId: "", parentGpuId: "" };
    return target.kind === "node" ? target.nodeId === nodeId : target.gpuId === gpuId || target.gpuId === parentGpuId;
  }
}
