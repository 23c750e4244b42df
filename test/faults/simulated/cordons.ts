// What operators have taken out of service, folded from records alone, and what that forbids. Made by world.ts, for what is on the disk and for
// what this life of the router knows.
import type { Engine } from "../../../src/core/engine.js";
import type { GpuId } from "../../../src/core/model/ids.js";
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
  /** Requests that agreed to be pre-empted. */
  readonly #willing = new Set<string>();
  /** Where the newest attempt of each request went. */
  readonly #gpus = new Map<string, readonly string[]>();

  /** One that goes on from here by itself. */
  copy(): Cordons {
    const copy = new Cordons();
    for (const [gpuId, place] of this.#places) copy.#places.set(gpuId, place);
    for (const [key, window] of this.#windows) copy.#windows.set(key, window);
    for (const [restartId, restart] of this.#restarts) copy.#restarts.set(restartId, restart);
    for (const requestId of this.#willing) copy.#willing.add(requestId);
    for (const [requestId, gpuIds] of this.#gpus) copy.#gpus.set(requestId, gpuIds);
    return copy;
  }

  get anyRestart(): boolean {
    return [...this.#restarts.values()].some(({ isOver }) => !isOver);
  }

  isRestartOver(restartId: string): boolean {
    return this.#restarts.get(restartId)?.isOver ?? false;
  }

  isForced(restartId: string): boolean {
    return this.#restarts.get(restartId)?.force ?? false;
  }

  /** Takes a record in; throws when it places work where none may go, or has work give way that must not. */
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
      case "accepted":
        if (wishesOf(record.spec).preemptible) this.#willing.add(record.spec.requestId);
        return;
      case "attempt_failed":
        if (record.preempted && !this.#willing.has(record.requestId) && !(this.#gpus.get(record.requestId) ?? []).some((gpuId) => this.#reasonAt(gpuId) !== "")) {
          throw new Violation("onlyTheWillingGiveWay", `${record.requestId}#${record.attempt} was pre-empted, to which nobody has agreed`);
        }
        return;
      case "placed":
        this.#gpus.set(record.requestId, gpusOf(record));
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
    const reason = this.#reasonAt(gpuId);
    if (reason !== "") throw new Violation("noNewWorkOutOfService", `${requestId} goes to ${gpuId}, which ${reason}`);
  }

  /** Why nothing new may go to a GPU; "" when it may. */
  #reasonAt(gpuId: string): string {
    for (const { target } of this.#windows.values()) if (this.#isOf(gpuId, target)) return "is out of service";
    for (const restart of this.#restarts.values()) if (!restart.isOver && this.#isOf(gpuId, { kind: "gpu", gpuId: restart.gpuId as GpuId })) return "is to be restarted";
    return "";
  }

  #isOf(gpuId: string, target: MaintenanceTarget): boolean {
    const { nodeId, parentGpuId } = this.#places.get(gpuId) ?? { nodeId: "", parentGpuId: "" };
    return target.kind === "node" ? target.nodeId === nodeId : target.gpuId === gpuId || target.gpuId === parentGpuId;
  }
}
