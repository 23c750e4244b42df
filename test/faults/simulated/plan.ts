// What one seed stands for: the fleet, the settings, the faults that are on, and what callers ask for.
import { loadRouterConfig } from "../../../src/config/router-config.js";
import type { GpuId, ModelId, RequestId, UserId } from "../../../src/core/model/ids.js";
import { NO_WISHES, type Priority, type RequestSpec } from "../../../src/core/model/request.js";
import type { Draw } from "./draw.js";
import { ACTS } from "./acts.js";
import { FAULTS } from "./faults.js";
import { quotaSettingsOf } from "./quota-plan.js";
import type { RouterSettings } from "./simulated-router.js";

/** How long faults strike, ms. */
export const FAULTS_MS = 8_000;

export interface Plan {
  readonly faults: ReadonlySet<string>;
  readonly settings: RouterSettings;
  /** GPUs of each node, and the MIG instances that each of them is divided into; 0 for whole GPUs. */
  readonly nodes: readonly { readonly gpus: number; readonly instances: number }[];
  readonly requests: number;
  readonly windowBytes: number;
  readonly logScale: number;
}

/** Share of the seeds with everything on at once. */
const EVERYTHING_SHARE = 0.1;
/** An operator has something to do in so many of the others. */
const ACTS_SHARE = 0.3;

/** Where GPUs are divided, requests fit their instances: perhaps no others have what they want. */
const INSTANCE_FITS_MIB = 6_000;

/** `only` are the faults that are on; null for those that the seed draws: each in about half of the seeds, all of them in some. */
export function planOf(draw: Draw, only: readonly string[] | null): Plan {
  const share = draw.chance(EVERYTHING_SHARE) ? 1 : 0.45;
  // Acts each from a stream of its own: seeds go on telling of the same faults when an act is added.
  const drawn = [...FAULTS.filter(() => draw.chance(share)), ...ACTS.filter(({ name }) => draw.of(name).chance(share === 1 ? 1 : ACTS_SHARE))].map(({ name }) => name);
  const faults = new Set(only ?? drawn);
  const { core, agentTerms, retention, callbacks } = loadRouterConfig(undefined, {});
  // Shorter than the default, so that it runs out within a story; the router's margin over it stays.
  const leaseMs = draw.whole(1_500, 3_000);
  const fencedAfterMs = Math.ceil(leaseMs + core.fencedAfterMs - agentTerms.leaseMs);
  const overload = faults.has("overload");
  return {
    faults,
    settings: {
      core: {
        ...core,
        fencedAfterMs,
        strategy: draw.pick(["hybrid", "weighted", "least_loaded", "random", "round_robin", "priority_based"]),
        gpuCooldownMs: draw.between(500, 3_000),
        requestTimeoutMs: 30_000,
        retryDelayMs: draw.pick([50, 300, 1_000]),
        maxRetries: draw.whole(1, 6),
        maxConcurrentTasksPerGpu: draw.whole(1, 4),
        maxQueuedRequests: overload ? draw.whole(5, 20) : 1_000,
        ...((faults.has("quotas") || faults.has("quota-changes")) && { quota: quotaSettingsOf(draw.of("quotas"), faults.has("clock-jump")) }),
        ...(faults.has("pre-emption") && { preemption: { enabled: true, priorityGap: 1, minRunMs: 50, nodeIntervalMs: 200, patienceMs: 100 } }),
      },
      agentTerms: { ...agentTerms, leaseMs },
      retention,
      callbacks: { ...callbacks.limits, retryDelayMs: 200, maxRetryDelayMs: 2_000, maxTries: 1_000 },
    },
    nodes: Array.from({ length: draw.whole(2, 3) }, (_, place) => ({ gpus: draw.whole(1, 3), instances: faults.has("mig") && place === 0 ? 2 : 0 })),
    requests: overload ? draw.whole(40, 80) : draw.whole(8, 40),
    windowBytes: draw.pick([300, 4_000, 1_000_000]),
    logScale: draw.pick([1, 1, 20_000, 200_000]),
  };
}

/** What the `index`-th caller asks for. */
export function specOf(index: number, plan: Plan, gpuIds: readonly string[], draw: Draw): RequestSpec {
  const training = draw.chance(0.1);
  const once = training || draw.chance(0.3);
  const pinned = draw.chance(0.1);
  const gang = !pinned && plan.nodes.some(({ gpus }) => gpus >= 2) && draw.chance(0.08) ? 2 : 1;
  const plainly = !once && gang === 1;
  const tokens = plainly && draw.chance(0.2);
  const loads = draw.of(`loads ${index}`);
  const loaded = plan.faults.has("models") && plainly && !pinned && loads.chance(0.6);
  const wished = gang > 1 || draw.chance(tokens ? 0.5 : 0.15);
  const timed = plan.faults.has("time-outs");
  const yielding = plan.faults.has("pre-emption") && draw.of(`yielding ${index}`).chance(0.6);
  const sometimes = (): number => (timed && draw.chance(0.3) ? draw.whole(50, 3_000) : 0);
  return {
    requestId: `r${index}` as RequestId,
    userId: draw.pick(["ada", "bob", "eve"]) as UserId,
    modelId: ((model: string) => (loaded ? loads.pick(["j", "k", "l"]) : model))(draw.pick(["m", "n"])) as ModelId,
    type: training ? "training" : "inference",
    priority: draw.whole(1, 5) as Priority,
    requirements: {
      memoryMib: Math.min(draw.pick([0, 0, 500, 4_000, 9_000]), plan.faults.has("mig") ? INSTANCE_FITS_MIB : 9_000),
      computeUnits: 0,
      maxBatchSize: 0,
      // What must not run twice runs for longer than a lease, now and then: otherwise nobody would see it run on.
      expectedDurationMs: draw.pick(once ? [0, 500, 3_000, 9_000] : [0, 100, 700, 1_500]),
      minComputeCapability: 0,
      inputTokens: tokens ? draw.whole(10, 4_000) : loaded ? loads.whole(10, 4_000) : 0,
      outputTokens: tokens ? draw.whole(1, 300) : loaded ? loads.whole(1, 300) : 0,
    },
    timeoutMs: timed ? Math.round(draw.between(100, 4_000)) : draw.pick([0, 0, 20_000]),
    callbackUrl: draw.chance(0.4) ? `http://receiver-${draw.whole(1, 2)}.example/told` : "",
    strategy: "",
    specificGpuId: pinned ? (draw.pick(gpuIds) as GpuId) : "",
    idempotent: !once,
    ...((wished || yielding) && {
      wishes: { ...NO_WISHES, gpus: gang, preemptible: (wished && draw.chance(0.5)) || yielding, checkpoint: (wished && draw.chance(0.5)) || yielding, totalMs: wished && tokens ? draw.whole(200, 6_000) : 0, whenLate: wished ? draw.pick(["demote", "fail"]) : "demote" },
    }),
    ...(draw.chance(0.3) && {
      handling: { onInterruption: draw.pick(["restart", "fail"]), timeouts: { waitingMs: sometimes(), startingMs: sometimes(), runningMs: sometimes(), answeringMs: sometimes() } },
    }),
    payload: new Uint8Array(draw.whole(0, 200)),
    contentHash: `content of r${index}`,
  };
}
