// What AdminService needs of the router: the port between transport and engine. `router/admin.ts` implements it.
import type { Caller } from "../core/model/caller.js";
import type { GpuId, RequestId } from "../core/model/ids.js";
import type { GpuRestart, MaintenanceTarget, MaintenanceWindow, RestartRefusal } from "../core/model/maintenance.js";
import type { RequestView } from "./router-port.js";

/** What is out of service, as it is shown. */
export interface MaintenanceView {
  readonly window: MaintenanceWindow;
  readonly gpuIds: readonly GpuId[];
  readonly activeRequests: number;
}

/** A restart, as it is shown. */
export interface RestartView {
  readonly restart: GpuRestart;
  readonly activeRequests: number;
}

/** Takes a target out of service (`on`), or puts it back. */
export interface MaintenanceWish {
  readonly target: MaintenanceTarget;
  readonly on: boolean;
  readonly reason: string;
  /** 0 when unknown. */
  readonly estimatedDurationMs: number;
  /** How long work may go on; undefined until it ends by itself. */
  readonly drainMs: number | undefined;
}

export interface RestartWish {
  readonly gpuId: GpuId;
  readonly force: boolean;
  readonly reason: string;
  readonly drainMs: number | undefined;
}

/** A callback that was given up. */
export interface FailedCallbackView {
  readonly callbackId: number;
  readonly eventId: string;
  readonly eventType: string;
  readonly requestId: string;
  readonly userId: string;
  readonly url: string;
  /** UTC ms. */
  readonly eventAtMs: number;
  readonly givenUpAtMs: number;
  readonly tries: number;
  readonly error: string;
}

export interface FailedCallbacks {
  /** Newest first. */
  readonly callbacks: readonly FailedCallbackView[];
  readonly failed: number;
  readonly pending: number;
}

/** All promises resolve when what they say is durable. */
export interface AdminPort {
  /** Null when it is in service again. */
  setMaintenance(wish: MaintenanceWish, by: Caller): Promise<MaintenanceView | null | "unknown_target">;
  maintenance(): Promise<{ readonly windows: readonly MaintenanceView[]; readonly restarts: readonly RestartView[] }>;
  restartGpu(wish: RestartWish, by: Caller): Promise<{ readonly kind: "requested"; readonly view: RestartView } | { readonly kind: "refused"; readonly refusal: RestartRefusal }>;
  /** Null when unknown. */
  cancelRequest(requestId: RequestId, reason: string, by: Caller): Promise<RequestView | null>;
  /** Below `belowId` (0 for the newest). */
  failedCallbacks(belowId: number, limit: number): FailedCallbacks;
  /** Resolves to how many are in line again. */
  retryCallbacks(callbackIds: readonly number[] | "all", by: Caller): Promise<number>;
}
