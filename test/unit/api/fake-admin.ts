// An AdminPort that does whatever it is asked to: for tests of who may ask, and of what is written down of it.
import type { AdminPort, MaintenanceWish, RestartWish } from "../../../src/api/admin-port.js";
import type { RequestView } from "../../../src/api/router-port.js";
import type { Caller } from "../../../src/core/model/caller.js";
import type { RequestId } from "../../../src/core/model/ids.js";
import type { FakeRouter } from "./fake-router.js";

export class FakeAdmin implements AdminPort {
  readonly #router: FakeRouter;

  constructor(router: FakeRouter) {
    this.#router = router;
  }

  async setMaintenance({ target, reason }: MaintenanceWish, by: Caller): ReturnType<AdminPort["setMaintenance"]> {
    return { window: { target, reason, by, sinceMs: 1, untilMs: 0, drainByMs: 0 }, gpuIds: [], activeRequests: 0 };
  }

  async maintenance(): ReturnType<AdminPort["maintenance"]> {
    return { windows: [], restarts: [] };
  }

  async restartGpu({ gpuId, force, reason }: RestartWish, by: Caller): ReturnType<AdminPort["restartGpu"]> {
    return { kind: "requested", view: { restart: { restartId: "restart", gpuId, force, reason, by, requestedAtMs: 1, drainByMs: 0, state: "draining", instanceId: "", message: "", endedAtMs: 0 }, activeRequests: 0 } };
  }

  async cancelRequest(requestId: RequestId): Promise<RequestView | null> {
    return this.#router.views.get(requestId) ?? null;
  }

  failedCallbacks(): ReturnType<AdminPort["failedCallbacks"]> {
    return { callbacks: [], failed: 0, pending: 0 };
  }

  async retryCallbacks(): Promise<number> {
    return 0;
  }
}
