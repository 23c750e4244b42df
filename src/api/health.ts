// grpc.health.v1: whether the server as a whole ("") and each service take work. One status for all; the router sets it.
import { create } from "@bufbuild/protobuf";
import {
  HealthCheckResponse_ServingStatus as Status,
  HealthCheckResponseSchema,
  HealthListResponseSchema,
  type Health,
  type HealthCheckResponse,
} from "../../gen/grpc/health/v1/health_pb.js";
import { ApiError } from "./outcomes.js";
import type { ServiceHandlers } from "./service-handlers.js";

/** The health of a server, as its owner sees it. */
export interface ServerHealth {
  readonly handlers: ServiceHandlers<typeof Health>;
  /** Watchers hear of a change at once. */
  setServing(serving: boolean): void;
}

/** Health of the services with these full names; serving from the start. */
export function createServerHealth(serviceNames: readonly string[]): ServerHealth {
  const names = new Set(["", ...serviceNames]);
  let status = Status.SERVING;
  const waiting = new Set<() => void>();

  return {
    setServing(serving) {
      status = serving ? Status.SERVING : Status.NOT_SERVING;
      for (const wake of waiting) wake();
      waiting.clear();
    },
    handlers: {
      check({ service }) {
        if (!names.has(service)) throw new ApiError({ kind: "unknown_service", service });
        return create(HealthCheckResponseSchema, { status });
      },
      watch: ({ service }, signal) => watch(names.has(service), signal),
      list: () =>
        create(HealthListResponseSchema, {
          statuses: Object.fromEntries([...names].map((name) => [name, create(HealthCheckResponseSchema, { status })])),
        }),
    },
  };

  async function* watch(isServed: boolean, signal: AbortSignal): AsyncGenerator<HealthCheckResponse> {
    let told: Status | undefined;
    while (!signal.aborted) {
      const present = isServed ? status : Status.SERVICE_UNKNOWN;
      if (present === told) {
        await changed(signal);
        continue;
      }
      told = present;
      yield create(HealthCheckResponseSchema, { status: present });
    }
  }

  function changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        waiting.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      waiting.add(wake);
      signal.addEventListener("abort", wake);
    });
  }
}
