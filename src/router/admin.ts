// What operators do, between the API's port and the engine: maintenance, restarts, cancels, callbacks that failed. Made by router.ts.
// Each act is an event whose record names its author; the log says so too.
import type { Logger } from "pino";
import type { AdminPort, FailedCallbacks, MaintenanceView, MaintenanceWish, RestartView, RestartWish } from "../api/admin-port.js";
import type { RequestView } from "../api/router-port.js";
import type { Deliverer } from "../callbacks/deliverer.js";
import type { Caller } from "../core/model/caller.js";
import type { RequestId } from "../core/model/ids.js";
import { isRestartOver, targetKey, type GpuRestart, type MaintenanceWindow } from "../core/model/maintenance.js";
import type { DeadLetter } from "../journal/outbox-table.js";
import type { Clock } from "./clock.js";
import type { EngineLoop } from "./engine-loop.js";

/** Callbacks that one call puts back in line at most. */
const MAX_RETRIED = 10_000;

export interface AdminOptions {
  readonly loop: EngineLoop;
  readonly clock: Clock;
  readonly log: Logger;
  /** null when nothing is delivered. */
  readonly callbacks: Deliverer | null;
  readonly status: (requestId: RequestId) => Promise<RequestView | null>;
}

export class Admin implements AdminPort {
  readonly #options: AdminOptions;

  constructor(options: AdminOptions) {
    this.#options = options;
  }

  async setMaintenance({ target, on, reason, estimatedDurationMs, drainMs }: MaintenanceWish, by: Caller): Promise<MaintenanceView | null | "unknown_target"> {
    const { loop, clock, log } = this.#options;
    const { maintenance } = loop.engine.state;
    if (maintenance.gpusOf(target).length === 0 && !maintenance.window(target)) return "unknown_target";
    const nowMs = clock.now();
    const untilMs = on && estimatedDurationMs > 0 ? nowMs + estimatedDurationMs : 0;
    const drainByMs = on && drainMs !== undefined ? nowMs + drainMs : 0;
    loop.step({ kind: "set_maintenance", target, on, reason, by, untilMs, drainByMs });
    log.info({ target: targetKey(target), on, reason, by: by.name }, "maintenance set");
    const window = maintenance.window(target);
    return loop.onceDurable(window ? this.#windowView(window) : null);
  }

  async maintenance(): Promise<{ readonly windows: readonly MaintenanceView[]; readonly restarts: readonly RestartView[] }> {
    const { loop } = this.#options;
    const { maintenance } = loop.engine.state;
    return loop.onceDurable({
      windows: maintenance.windows.map((window) => this.#windowView(window)),
      restarts: maintenance.restarts.map((restart) => this.#restartView(restart)).toReversed(),
    });
  }

  async restartGpu({ gpuId, force, reason, drainMs }: RestartWish, by: Caller): ReturnType<AdminPort["restartGpu"]> {
    const { loop, clock, log } = this.#options;
    const refusal = loop.engine.restartRefusal(gpuId, force);
    if (refusal) return { kind: "refused", refusal };
    loop.step({ kind: "restart_gpu", gpuId, force, reason, by, drainByMs: drainMs === undefined ? 0 : clock.now() + drainMs });
    log.warn({ gpu: gpuId, force, reason, by: by.name }, "GPU restart requested");
    const restart = loop.engine.state.maintenance.restartOf(gpuId);
    if (!restart) throw new Error("Invariant broken: a restart that is not refused is under way");
    return loop.onceDurable({ kind: "requested", view: this.#restartView(restart) });
  }

  async cancelRequest(requestId: RequestId, reason: string, by: Caller): Promise<RequestView | null> {
    const { loop, log, status } = this.#options;
    loop.step({ kind: "cancel", requestId, reason, by });
    log.info({ request: requestId, reason, by: by.name }, "request cancelled by an operator");
    return status(requestId);
  }

  failedCallbacks(belowId: number, limit: number): FailedCallbacks {
    const { callbacks } = this.#options;
    if (!callbacks) return { callbacks: [], failed: 0, pending: 0 };
    return { callbacks: callbacks.failures(belowId, limit).map(failureView), failed: callbacks.failed, pending: callbacks.pending };
  }

  async retryCallbacks(callbackIds: readonly number[] | "all", by: Caller): Promise<number> {
    const { callbacks, log } = this.#options;
    if (!callbacks) return 0;
    const orders = callbackIds === "all" ? callbacks.failures(0, MAX_RETRIED).map(({ order }) => order).toReversed() : callbackIds;
    const retried = await callbacks.retry(orders);
    log.info({ callbacks: retried, by: by.name }, "failed callbacks put back in line");
    return retried;
  }

  #windowView(window: MaintenanceWindow): MaintenanceView {
    const { fleet, maintenance } = this.#options.loop.engine.state;
    const gpus = maintenance.gpusOf(window.target);
    return { window, gpuIds: gpus.map((gpu) => fleet.inventory[gpu]!.gpuId), activeRequests: this.#activeOn(gpus) };
  }

  #restartView(restart: GpuRestart): RestartView {
    const { maintenance } = this.#options.loop.engine.state;
    return { restart, activeRequests: isRestartOver(restart) ? 0 : this.#activeOn(maintenance.gpusOf({ kind: "gpu", gpuId: restart.gpuId })) };
  }

  #activeOn(gpus: readonly number[]): number {
    const { fleet } = this.#options.loop.engine.state;
    return gpus.reduce((sum, gpu) => sum + fleet.active[gpu]!, 0);
  }
}

function failureView({ order, event, givenUpAtMs, tries, error }: DeadLetter) {
  const { requestId, userId, callbackUrl } = event.request.spec;
  return { callbackId: order, eventId: event.eventId, eventType: event.type, requestId, userId, url: withoutQuery(callbackUrl), eventAtMs: event.atMs, givenUpAtMs, tries, error };
}

function withoutQuery(url: string): string {
  return url.split("?", 1)[0] ?? "";
}
