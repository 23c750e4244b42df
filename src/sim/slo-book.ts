// What tenants want of each request: told to the router as a wish when it comes, judged by what it turned out to be when it has ended.
// The wish knows as little as its caller: how long this tenant's answers usually are. The judgement knows the answer.
import type { GpuKind } from "../simulated-gpu/gpu-kinds.js";
import { serviceTimes, unloadedBy, type ServiceTimes } from "../simulated-gpu/service-times.js";
import type { Arrival, Tenant } from "./workload/arrival.js";

/** An answer's length before any is known. */
const FIRST_GUESS_TOKENS = 200;
const GAIN = 0.02;

export class SloBook {
  readonly #tenants: readonly Tenant[];
  /** By tenant: its model's speeds on the median kind among the fleet's GPUs that can hold it. */
  readonly #times: readonly ServiceTimes[];
  readonly #meanOutput: number[];

  constructor(tenants: readonly Tenant[], fleet: readonly GpuKind[]) {
    this.#tenants = tenants;
    this.#meanOutput = tenants.map(() => FIRST_GUESS_TOKENS);
    this.#times = tenants.map(({ modelId }) => {
      const able = fleet.filter((kind) => serviceTimes(kind, modelId).kvCapacityTokens > 0);
      const bySpeed = (able.length > 0 ? able : fleet).toSorted((a, b) => serviceTimes(a, modelId).stepBaseMs - serviceTimes(b, modelId).stepBaseMs);
      return serviceTimes(bySpeed[bySpeed.length >> 1]!, modelId);
    });
  }

  /** What the caller asks for, who expects `outputTokens`, ms; 0 for no wish, null without an SLO. */
  wish(arrival: Arrival, outputTokens = this.#meanOutput[arrival.tenant]!): { readonly firstOutputMs: number; readonly totalMs: number } | null {
    const slo = this.#tenants[arrival.tenant]!.slo;
    if (!slo) return null;
    const totalMs = this.#totalMs(arrival, outputTokens);
    return { firstOutputMs: slo.firstOutputMs, totalMs: totalMs === Number.POSITIVE_INFINITY ? 0 : totalMs };
  }

  /** Whether a request that was completed was in time; false without an SLO. */
  kept(arrival: Arrival, firstOutputAtMs: number, endedAtMs: number): boolean {
    const slo = this.#tenants[arrival.tenant]!.slo;
    if (!slo) return false;
    const firstInTime = slo.firstOutputMs === 0 || firstOutputAtMs - arrival.atMs <= slo.firstOutputMs;
    return firstInTime && endedAtMs - arrival.atMs <= this.#totalMs(arrival, arrival.outputTokens);
  }

  /** A caller has seen the answer. */
  learn({ tenant, outputTokens }: Arrival): void {
    this.#meanOutput[tenant]! += GAIN * (outputTokens - this.#meanOutput[tenant]!);
  }

  /** Infinity where nothing is wished. */
  #totalMs({ tenant, inputTokens }: Arrival, outputTokens: number): number {
    const { slo } = this.#tenants[tenant]!;
    if (!slo || (slo.totalFloorMs === 0 && slo.totalFactor === 0)) return Number.POSITIVE_INFINITY;
    return Math.round(Math.max(slo.totalFloorMs, slo.totalFactor * unloadedBy(this.#times[tenant]!, inputTokens, outputTokens)));
  }
}
