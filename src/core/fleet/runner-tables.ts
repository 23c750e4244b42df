// Which runner of which GPU serves a (model, type), as one table per pair: built on first use, thrown away when runners change.
import { reaches, type GpuInventory, type RunnerInfo } from "../model/gpu.js";
import type { GpuId } from "../model/ids.js";

/** The part of the fleet that tables are built from. */
export interface RunnerSource {
  readonly size: number;
  readonly inventory: readonly Pick<GpuInventory, "gpuId" | "name">[];
  readonly nodeOf: readonly { readonly runners: readonly RunnerInfo[] }[];
}

/** Bound on cached pairs; above it the cache starts anew. */
const MAX_TABLES = 1_000;

/** Of one node; what the column of ordinals can hold. */
const MAX_RUNNERS = 2 ** 15;

/** For each GPU the ordinal of the first runner of its node that serves the pair, or -1. */
export interface RunnerTable {
  readonly runnerOf: Int16Array;
  /** The same number for GPUs of one node with the same runner, -1 without one: work on several GPUs keeps within it. */
  readonly teamOf: Int32Array;
  /** Whether every GPU has one. */
  readonly everywhere: boolean;
  /** Whether any GPU has one. */
  readonly somewhere: boolean;
  /** One GPU that has one of each model of GPU: what can be told of all of them by the likes of it. */
  readonly serving: readonly number[];
}

export class RunnerTables {
  /** By model, then type: two look-ups cost less than one made-up key. */
  readonly #tables = new Map<string, Map<string, RunnerTable>>();
  #count = 0;

  /** For work on `gpus` GPUs at once, of which a runner must have as many. */
  for(source: RunnerSource, modelId: string, type: string, gpus = 1): RunnerTable {
    const kind = gpus === 1 ? type : `${type}\n${gpus}`;
    const known = this.#tables.get(modelId)?.get(kind);
    if (known) return known;
    if (this.#count >= MAX_TABLES) this.invalidate();
    const table = build(source, modelId, type, gpus);
    const ofModel = this.#tables.get(modelId);
    if (ofModel) ofModel.set(kind, table);
    else this.#tables.set(modelId, new Map([[kind, table]]));
    this.#count += 1;
    return table;
  }

  /** To be called when runners or GPUs change. */
  invalidate(): void {
    this.#tables.clear();
    this.#count = 0;
  }
}

function build(source: RunnerSource, modelId: string, type: string, gpus: number): RunnerTable {
  const runnerOf = new Int16Array(source.size).fill(-1);
  const teamOf = new Int32Array(source.size).fill(-1);
  const nodes = new Map<object, number>();
  const serving = new Map<string, number>();
  for (let gpu = 0; gpu < source.size; gpu += 1) {
    const { gpuId, name } = source.inventory[gpu]!;
    const node = source.nodeOf[gpu]!;
    const { runners } = node;
    const place = runners.findIndex((runner) => (gpus === 1 || runner.gpuIds.length === 0 || runner.gpuIds.length >= gpus) && serves(runner, gpuId, modelId, type));
    runnerOf[gpu] = place;
    if (place >= 0) serving.set(name, gpu);
    if (gpus === 1 || place < 0) continue;
    const ordinal = nodes.get(node) ?? nodes.size;
    nodes.set(node, ordinal);
    teamOf[gpu] = ordinal * MAX_RUNNERS + place;
  }
  return { runnerOf, teamOf, everywhere: !runnerOf.includes(-1), somewhere: serving.size > 0, serving: [...serving.values()] };
}

function serves(runner: RunnerInfo, gpuId: GpuId, modelId: string, type: string): boolean {
  return (
    runner.models.some((model) => model === "*" || model === modelId) &&
    (runner.types.length === 0 || runner.types.includes(type)) &&
    reaches(runner, gpuId)
  );
}

/** The models that a GPU's runners served before and do not now. */
export function noLongerServed(gpuId: GpuId, before: readonly RunnerInfo[], now: readonly RunnerInfo[]): readonly string[] {
  const here = (runner: RunnerInfo): boolean => reaches(runner, gpuId);
  const served = new Set<string>(now.filter(here).flatMap(({ models }) => models));
  return served.has("*") ? [] : before.filter(here).flatMap(({ models }) => models.filter((model) => !served.has(model)));
}
