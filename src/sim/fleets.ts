// Simulated fleets: so many nodes of a kind, or a cut of the cluster that Alibaba published (openb). Nodes only; what a kind can
// do is the service-time model's matter. Every id says that it is simulated.
import { seededRandom } from "../lib/random.js";
import { isGpuKind, OPENB_GPU_KINDS } from "../simulated-gpu/gpu-kinds.js";
import { wholeNumber } from "./workload/formats/cells.js";
import { readTable } from "./workload/formats/csv-table.js";
import type { FleetPlan } from "./workload/scenario.js";
import { findFile } from "./workload/sources.js";
import { TraceError } from "./workload/trace-error.js";

export interface SimulatedGpu {
  readonly gpuId: string;
  readonly kind: string;
}

export interface SimulatedNode {
  readonly nodeId: string;
  readonly gpus: readonly SimulatedGpu[];
}

/** Alike nodes: `nodes` of them with `gpus` GPUs of `kind` each. */
export interface NodeGroup {
  readonly kind: string;
  readonly gpus: number;
  readonly nodes: number;
}

/** How many GPUs such a fleet has. */
export function gpuCount(groups: readonly NodeGroup[]): number {
  return groups.reduce((sum, { gpus, nodes }) => sum + gpus * nodes, 0);
}

/** The nodes "sim-node-1" and on, with the GPUs "sim-node-1-gpu-0" and on. */
export function simpleFleet(groups: readonly NodeGroup[]): SimulatedNode[] {
  const kinds = groups.flatMap(({ kind, gpus, nodes }) => Array.from({ length: nodes }, () => ({ kind, gpus })));
  return kinds.map(({ kind, gpus }, index) => simulatedNode(`sim-node-${index + 1}`, kind, gpus));
}

function simulatedNode(nodeId: string, kind: string, gpus: number): SimulatedNode {
  return { nodeId, gpus: Array.from({ length: gpus }, (_, index) => ({ gpuId: `${nodeId}-gpu-${index}`, kind })) };
}

/** A node of the openb list: its name and the model and number of its GPUs. */
export interface OpenbNode {
  readonly name: string;
  readonly model: string;
  readonly gpus: number;
}

const MAX_NODES = 100_000;

/** Reads openb_node_list_gpu_node.csv, or another list with the columns sn, gpu, model. Rejects with a `TraceError` that names file and line. */
export async function readOpenbNodes(path: string): Promise<OpenbNode[]> {
  const rows = await readTable(path, "list of nodes", ["sn", "gpu", "model"], MAX_NODES);
  if (rows.length === 0) throw new TraceError(`${path} has no nodes`);
  return rows.map(({ cells: { sn: name, gpu, model }, where }) => {
    const gpus = wholeNumber(gpu);
    if (name === "" || model === "" || !(gpus > 0)) throw new TraceError(`${where}: not a node with GPUs: it has sn ${JSON.stringify(name)}, gpu ${JSON.stringify(gpu)}, model ${JSON.stringify(model)}`);
    return { name, model, gpus };
  });
}

/** The first nodes of the list with `gpus` GPUs together, the last one cut short where need be; all of it when it has fewer. */
export function firstGpus(nodes: readonly OpenbNode[], gpus: number): OpenbNode[] {
  const taken: OpenbNode[] = [];
  let left = gpus;
  for (const node of nodes) {
    if (left <= 0) break;
    taken.push(node.gpus <= left ? node : { ...node, gpus: left });
    left -= node.gpus;
  }
  return taken;
}

/** Nodes by lot with `gpus` GPUs together, each model with its share of the whole (largest remainders); the same seed takes the same. */
export function stratifiedGpus(nodes: readonly OpenbNode[], gpus: number, seed: number): OpenbNode[] {
  const total = sumOfGpus(nodes);
  const wanted = Math.min(gpus, total);
  const quotas = [...new Set(nodes.map(({ model }) => model))].map((model) => {
    const own = nodes.filter((node) => node.model === model);
    return { model, own, exact: (sumOfGpus(own) / total) * wanted };
  });
  const counts = new Map(quotas.map(({ model, exact }) => [model, Math.floor(exact)]));
  let left = wanted - [...counts.values()].reduce((sum, each) => sum + each, 0);
  for (const { model, exact } of quotas.toSorted((one, other) => (other.exact % 1) - (one.exact % 1))) {
    if (left-- <= 0) break;
    counts.set(model, Math.floor(exact) + 1);
  }
  const random = seededRandom(seed);
  return quotas.flatMap(({ model, own }) => firstGpus(shuffled(own, random), counts.get(model) ?? 0));
}

/** Nodes of openb as a simulated fleet: "sim-openb-node-0000" and so on. Throws a `TraceError` for a model that `kinds` does not have. */
export function openbFleet(nodes: readonly OpenbNode[], kinds: Readonly<Record<string, string>> = OPENB_GPU_KINDS): SimulatedNode[] {
  return nodes.map(({ name, model, gpus }) => {
    const kind = Object.hasOwn(kinds, model) ? kinds[model] : isGpuKind(model) ? model : undefined;
    if (kind === undefined) throw new TraceError(`node ${name} has GPUs of model ${model}: say which known kind to take them for, such as kinds: { ${model}: A100-80GB } in the scenario file's fleet`);
    return simulatedNode(`sim-${name}`, kind, gpus);
  });
}

/** How many GPUs the fleet of a plan has. */
export function plannedGpus(plan: FleetPlan): number {
  return "groups" in plan ? gpuCount(plan.groups) : plan.openbGpus;
}

// Every run of a scenario has the same fleet, whatever the seed of its requests.
const CUT_SEED = 1;

/** The fleet of a scenario; openb's nodes are looked for in the folder of traces, null for none. Rejects with a `TraceError` when they are missing. */
export async function plannedFleet(plan: FleetPlan, folder: string | null): Promise<SimulatedNode[]> {
  if ("groups" in plan) return simpleFleet(plan.groups);
  const file = plan.nodes ?? await findFile(folder, "alibaba-openb-gpu-v2023/openb_node_list_gpu_node.csv", "hkust-adsl/kubernetes-scheduler-simulator on GitHub, data/csv/ (Apache-2.0)");
  return openbFleet(stratifiedGpus(await readOpenbNodes(file), plan.openbGpus, CUT_SEED), { ...OPENB_GPU_KINDS, ...plan.kinds });
}

function sumOfGpus(nodes: readonly OpenbNode[]): number {
  return nodes.reduce((sum, node) => sum + node.gpus, 0);
}

/** Fisher and Yates. */
function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const result = [...items];
  for (let place = result.length - 1; place > 0; place -= 1) {
    const other = Math.floor(random() * (place + 1));
    [result[place], result[other]] = [result[other] as T, result[place] as T];
  }
  return result;
}
