// The recorded fleet as a simulated one: each GPU a kind that can be simulated, with the models and types that its runners served.
import { reaches } from "../../core/model/gpu.js";
import type { GpuKind } from "../../simulated-gpu/gpu-kinds.js";
import { GPU_KIND_NAMES, GPU_KINDS } from "../../simulated-gpu/gpu-kinds.js";
import { ModelResidency } from "../../simulated-gpu/model-residency.js";
import type { SimulatedNode } from "../fleets.js";
import { initialModels, type ModelDemand } from "../initial-models.js";
import { RecordingError } from "../../recording/step.js";
import type { RecordedTraffic } from "./traffic.js";
import { TIMED_WORK } from "./workload.js";

/** Product names as drivers tell them. What may be one of several (an H100 on PCIe, a MIG instance) is none of these. */
const PRODUCTS: readonly (readonly [name: RegExp, kind: GpuKind])[] = [
  [/\bB200\b/, "B200"],
  [/\bH200\b(?!.*NVL)/, "H200"],
  [/\bH100\b(?!.*(PCIE|NVL))/, "H100-80GB"],
  [/\bA100\b.*80G/, "A100-80GB"],
  [/\bA100\b.*40G/, "A100-40GB"],
  [/\bL40S\b/, "L40S"],
  [/\bRTX PRO 6000\b/, "RTX-PRO-6000"],
  [/\bRTX 4090\b(?! *D)/, "RTX-4090"],
  [/\bA10G\b/, "A10G"],
  [/\bV100\b.*32G/, "V100-32GB"],
  [/\bV100\b.*16G/, "V100-16GB"],
  [/\bT4\b/, "T4"],
  [/\bP100\b/, "P100"],
];

/** The kind of a GPU by the name that its driver tells; `told` goes before what is known. Undefined when neither says. */
export function kindOfName(name: string, told: ReadonlyMap<string, GpuKind>): GpuKind | undefined {
  const upper = name.toUpperCase();
  const simulated = GPU_KIND_NAMES.find((kind) => upper === `SIMULATED NVIDIA ${GPU_KINDS[kind].product.toUpperCase()}`);
  return told.get(name) ?? simulated ?? (/ MIG /.test(upper) ? undefined : PRODUCTS.find(([pattern]) => pattern.test(upper))?.[1]);
}

/** By GPU, in the order of the traffic's. Throws a RecordingError that names every kind to be told. */
export function recordedKinds({ gpus }: RecordedTraffic, told: ReadonlyMap<string, GpuKind>): GpuKind[] {
  const unknown = new Set<string>();
  const kinds = gpus.flatMap(({ inventory }) => {
    const kind = kindOfName(inventory.name, told);
    if (kind === undefined) unknown.add(inventory.name);
    return kind === undefined ? [] : [kind];
  });
  if (unknown.size > 0) {
    const flags = [...unknown].map((name) => `--kind "${name}=A100-80GB"`).join(" ");
    throw new RecordingError(`its GPUs ${[...unknown].join(", ")} are of no kind that can be simulated: say what to take them for, such as ${flags}. Kinds: ${GPU_KIND_NAMES.join(", ")}`);
  }
  return kinds;
}

/** The same nodes; every id says that it is simulated. */
export function recordedNodes({ gpus }: RecordedTraffic, kinds: readonly GpuKind[]): SimulatedNode[] {
  const nodes = new Map<string, { gpuId: string; kind: string }[]>();
  gpus.forEach(({ nodeId, inventory }, index) => {
    const own = nodes.get(nodeId) ?? [];
    own.push({ gpuId: `sim-${inventory.gpuId}`, kind: kinds[index] ?? "" });
    nodes.set(nodeId, own);
  });
  return [...nodes].map(([nodeId, own]) => ({ nodeId: `sim-${nodeId}`, gpus: own }));
}

export interface Residency {
  readonly loaded: string[][];
  readonly types: (readonly string[])[];
  /** Some runners serve any model: where those lie is a guess then. */
  readonly guessed: boolean;
  /** Some served more models than they can hold at once. */
  readonly crowded: boolean;
}

/** By GPU in the order of `recordedNodes`: what it held, as far as it is asked for, and the types that it served. */
export function recordedResidency(traffic: RecordedTraffic, kinds: readonly GpuKind[], demands: readonly ModelDemand[], nameOf: (model: string) => string): Residency {
  const byNode = [...new Set(traffic.gpus.map(({ nodeId }) => nodeId))].flatMap((nodeId) => traffic.gpus.flatMap((gpu, index) => (gpu.nodeId === nodeId ? [{ ...gpu, index }] : [])));
  const served = byNode.map(({ nodeId, inventory, index }) => {
    const runners = (traffic.runners.get(nodeId) ?? []).filter((runner) => reaches(runner, inventory.gpuId));
    const models = new Set(runners.flatMap((runner) => runner.models).map((model) => (model === "*" ? model : nameOf(model))));
    return {
      index,
      models,
      // The simulator's GPUs take timed work of the types that they serve when this is one of them.
      types: runners.some(({ types }) => types.length === 0) ? [] : [...new Set([...runners.flatMap(({ types }) => types), TIMED_WORK])],
    };
  });
  const open = served.flatMap(({ models }, place) => (models.has("*") ? [place] : []));
  const guess = initialModels(open.map((place) => kinds[served[place]?.index ?? 0] ?? "T4"), demands);
  // What is asked for most comes first where not all fit at once.
  const byDemand = demands.toSorted((one, other) => other.inputRate + other.outputRate - one.inputRate - one.outputRate).map(({ modelId }) => modelId);
  let crowded = false;
  const loaded = served.map(({ models, index }, place) => {
    if (models.has("*")) return guess[open.indexOf(place)] ?? [];
    const residency = new ModelResidency(kinds[index] ?? "T4");
    return byDemand.filter((model) => {
      if (!models.has(model)) return false;
      const fits = residency.preload(model);
      crowded ||= !fits;
      return fits;
    });
  });
  return { loaded, types: served.map(({ types }) => types), guessed: open.length > 0, crowded };
}

/** Throws a RecordingError when a model that is asked for lies nowhere. */
export function checkPlaced(loaded: readonly (readonly string[])[], demands: readonly ModelDemand[]): void {
  const missing = demands.find(({ modelId }) => !loaded.some((models) => models.includes(modelId)));
  if (!missing) return;
  const { modelId } = missing;
  throw new RecordingError(`no simulated GPU has room for the model ${modelId}, or none served it: say what to take it for with --model "${modelId}=NAME", or give other GPUs with --fleet or --kind`);
}
