// From a scenario, a policy, a load and a seed to the options of a simulation. What a policy does not decide is the same for all of them:
// requests, GPUs, faults, where models lie at first.
import { DEFAULT_CORE_SETTINGS, type CoreSettings } from "../core/settings.js";
import type { GpuKind } from "../simulated-gpu/gpu-kinds.js";
import { MODEL_NAMES } from "../simulated-gpu/models.js";
import { serviceTimes } from "../simulated-gpu/service-times.js";
import { plannedFleet, type SimulatedNode } from "./fleets.js";
import { initialModels, type ModelDemand } from "./initial-models.js";
import { mappingTrouble, overridden, type SettingsOverride } from "./overrides.js";
import { partition } from "./partition.js";
import type { Policy } from "./policies.js";
import type { SimulatedFaults } from "./faults.js";
import type { SimulationOptions } from "./simulation.js";
import type { Workload } from "./workload/arrival.js";
import { buildWorkload, type BuildOptions } from "./workload/build.js";
import type { FleetPlan, Scenario } from "./workload/scenario.js";

/** One in sixteen GPUs is half as slow again and nobody is told; one breaks in the middle and is back two minutes later. */
export const DEFAULT_FAULTS: SimulatedFaults = { stragglers: 1 / 16, slowdown: 1.5, gpuFailures: 1, brokenMs: 120_000 };

/** How long after the last arrival the rest may still end. */
const DRAIN_MS = 120_000;
/** Models are placed by what this seed asks for; runs that are reported have others. */
const PLACEMENT_SEED = 4242;
/** A model that is asked for at all has a place, tokens per second. */
const LEAST_RATE = 0.01;

const USUAL = DEFAULT_CORE_SETTINGS;

/** What every simulation is set to, for every policy: the router's defaults but for what stands here. */
const SIMULATED: CoreSettings = {
  ...USUAL,
  // Peers dispatch at once; the engine's own queue is theirs.
  maxConcurrentTasksPerGpu: 100_000,
  // Engines take their memory when they start, and NVML shows a GPU with one request as busy as one with a hundred: neither is a reason to send nothing.
  memoryThreshold: 1,
  utilizationThreshold: 1.1,
  gpuCooldownMs: 120_000,
};

/** The same for people: what these figures hold for. */
export const SIMULATED_SETTINGS_TEXT = `The router is set for engines that batch: max_concurrent_tasks_per_gpu ${SIMULATED.maxConcurrentTasksPerGpu} (${USUAL.maxConcurrentTasksPerGpu} unless configured), memory_threshold ${SIMULATED.memoryThreshold} (${USUAL.memoryThreshold}), utilization_threshold ${SIMULATED.utilizationThreshold} (${USUAL.utilizationThreshold}), gpu_cooldown_period ${SIMULATED.gpuCooldownMs / 1000} s (${USUAL.gpuCooldownMs / 1000} s).`;

/** The fleet is too small for the models that are asked for, or lacks a GPU that settings name; says what to do. */
export class NoRoomError extends Error {
  override readonly name = "NoRoomError";
}

export interface WorldOptions extends BuildOptions {
  readonly scenario: Scenario;
  /** Folder of traces; null for none. */
  readonly traces: string | null;
  /** Instead of the scenario's own. Amounts of work that the scenario states against its fleet stay as they are. */
  readonly fleet: FleetPlan | null;
}

/** A scenario at one load, ready to be run by several policies and seeds. */
export interface World {
  readonly scenario: Scenario;
  readonly load: number;
  readonly fleet: readonly SimulatedNode[];
  readonly workload: Workload;
  /** By tenant, per second. */
  readonly demands: readonly { readonly inputRate: number; readonly outputRate: number }[];
}

/** What holds in a run whatever the policy. */
export interface Conditions {
  readonly faults: SimulatedFaults;
  readonly override: SettingsOverride;
  /** Tokens that each GPU's prefix cache holds; null for what its memory leaves. */
  readonly prefixCacheTokens: number | null;
}

/** Reads traces and fleet. Rejects with a `TraceError`. */
export async function openWorld({ scenario, traces, fleet, ...options }: WorldOptions): Promise<World> {
  const nodes = await plannedFleet(fleet ?? scenario.fleet, traces);
  const workload = await buildWorkload(shortened(scenario, options.durationMs), traces, options);
  const demands = workload.tenants.map(() => ({ inputRate: 0, outputRate: 0 }));
  for (const { tenant, inputTokens, outputTokens } of workload.arrivals(PLACEMENT_SEED)) {
    const demand = demands[tenant];
    if (!demand) continue;
    demand.inputRate += (inputTokens / workload.durationMs) * 1000;
    demand.outputRate += (outputTokens / workload.durationMs) * 1000;
  }
  return { scenario, load: options.load, fleet: nodes, workload, demands };
}

/** Floods keep their place in a run that is shorter than the scenario. */
function shortened(scenario: Scenario, durationMs = scenario.durationMs): Scenario {
  const ratio = Math.min(1, durationMs / scenario.durationMs);
  return { ...scenario, floods: scenario.floods.map((flood) => ({ ...flood, fromMs: flood.fromMs * ratio, toMs: flood.toMs * ratio })) };
}

/** The options of one run. Throws a `NoRoomError` when the fleet cannot hold a model that is asked for, or lacks a GPU that is named. */
export function setUp(world: World, policy: Policy, seed: number, { faults, override, prefixCacheTokens }: Conditions): SimulationOptions {
  const { scenario, fleet, workload } = world;
  const kinds = fleet.flatMap(({ gpus }) => gpus.map(({ kind }) => kind as GpuKind));
  const trouble = mappingTrouble(override.taskMappings, workload.tenants.map(({ type }) => type), fleet.flatMap(({ gpus }) => gpus.map(({ gpuId }) => gpuId)));
  if (trouble !== null) throw new NoRoomError(trouble);
  const usual: CoreSettings = { ...SIMULATED, ...policy.settings, strategy: policy.strategy, hybrid: { ...SIMULATED.hybrid, ...policy.hybrid } };
  const settings = overridden(usual, override);
  return {
    policy: policy.name,
    scenario: scenario.name,
    load: world.load,
    seed,
    settings,
    fleet,
    workload,
    ...placed(world, kinds, policy.isolation),
    models: scenario.models.filter((model) => MODEL_NAMES.includes(model)),
    modelLoadSpeed: scenario.modelLoadSpeed,
    prefixCacheTokens,
    faults,
    drainMs: DRAIN_MS,
    tellLengths: false,
  };
}

function placed(world: World, kinds: readonly GpuKind[], isolation: number): Pick<SimulationOptions, "loaded" | "types"> {
  const { tenants } = world.workload;
  const promised = new Set(tenants.filter(({ slo }) => slo !== null).map(({ type }) => type));
  const rest = new Set(tenants.map(({ type }) => type).filter((type) => !promised.has(type)));
  const all = demandsOf(world, () => true);
  if (isolation === 0 || rest.size === 0 || promised.size === 0) {
    const loaded = initialModels(kinds, all);
    const [missing] = unplaced(loaded, all);
    if (missing !== undefined) throw new NoRoomError(`no GPU of the fleet has room for the model ${missing}: take more GPUs, or larger ones`);
    return { loaded, types: kinds.map(() => []) };
  }
  const sides = [
    { types: [...promised], demands: demandsOf(world, (type) => promised.has(type)) },
    { types: [...rest], demands: demandsOf(world, (type) => rest.has(type)) },
  ] as const;
  const inRest = partition(kinds, isolation, (own, side) => {
    const { demands } = sides[side];
    return unplaced(initialModels(own, demands), demands).length === 0;
  });
  if (inRest === null) throw new NoRoomError("the fleet cannot be divided so that each side has room for its models: take more GPUs, or a policy without isolation");
  const loaded: string[][] = kinds.map(() => []);
  sides.forEach(({ demands }, side) => {
    const own = kinds.flatMap((_, gpu) => (inRest[gpu] === (side === 1) ? [gpu] : []));
    initialModels(own.map((gpu) => kinds[gpu] ?? "T4"), demands).forEach((models, place) => (loaded[own[place] ?? 0] = models));
  });
  return { loaded, types: inRest.map((isRest) => sides[isRest ? 1 : 0].types) };
}

/** Demand by model of the tenants whose type is wanted; work that is not tokens needs no model. */
function demandsOf({ workload, demands }: World, wanted: (type: string) => boolean): ModelDemand[] {
  const byModel = new Map<string, { modelId: string; inputRate: number; outputRate: number }>();
  workload.tenants.forEach(({ type, modelId }, tenant) => {
    if (!wanted(type) || !MODEL_NAMES.includes(modelId)) return;
    const sum = byModel.get(modelId) ?? { modelId, inputRate: LEAST_RATE, outputRate: LEAST_RATE };
    sum.inputRate += demands[tenant]?.inputRate ?? 0;
    sum.outputRate += demands[tenant]?.outputRate ?? 0;
    byModel.set(modelId, sum);
  });
  // Large models first: they fit on few GPUs.
  return [...byModel.values()].toSorted((a, b) => weights(b) - weights(a));
}

function weights({ modelId }: ModelDemand): number {
  return serviceTimes("A100-80GB", modelId).weightsMib;
}

function unplaced(loaded: readonly (readonly string[])[], demands: readonly ModelDemand[]): string[] {
  return demands.map(({ modelId }) => modelId).filter((modelId) => !loaded.some((models) => models.includes(modelId)));
}
