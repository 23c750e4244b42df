// Which runner of which GPU serves a (model, type), as one table per pair: built on first use, thrown away when runners change.
import type { RunnerInfo } from "../model/gpu.js";

/** The part of the fleet that tables are built from. */
export interface RunnerSource {
  readonly size: number;
  readonly inventory: readonly { readonly gpuId: string }[];
  readonly nodeOf: readonly { readonly runners: readonly RunnerInfo[] }[];
}

/** Bound on cached pairs; above it the cache starts anew. */
const MAX_TABLES = 1_000;

/** For each GPU the ordinal of the first runner of its node that serves the pair, or -1. */
export interface RunnerTable {
  readonly runnerOf: Int16Array;
  /** Whether every GPU has one. */
  readonly everywhere: boolean;
  /** Whether any GPU has one. */
  readonly somewhere: boolean;
}

export class RunnerTables {
  /** By model, then type: two look-ups cost less than one made-up key. */
  readonly #tables = new Map<string, Map<string, RunnerTable>>();
  #count = 0;

  for(source: RunnerSource, modelId: string, type: string): RunnerTable {
    const known = this.#tables.get(modelId)?.get(type);
    if (known) return known;
    if (this.#count >= MAX_TABLES) this.invalidate();
    const table = build(source, modelId, type);
    const ofModel = this.#tables.get(modelId);
    if (ofModel) ofModel.set(type, table);
    else this.#tables.set(modelId, new Map([[type, table]]));
    this.#count += 1;
    return table;
  }

  /** To be called when runners or GPUs change. */
  invalidate(): void {
    this.#tables.clear();
    this.#count = 0;
  }
}

function build(source: RunnerSource, modelId: string, type: string): RunnerTable {
  const runnerOf = new Int16Array(source.size).fill(-1);
  for (let gpu = 0; gpu < source.size; gpu += 1) {
    const gpuId = source.inventory[gpu]?.gpuId ?? "";
    runnerOf[gpu] = (source.nodeOf[gpu]?.runners ?? []).findIndex((runner) => serves(runner, gpuId, modelId, type));
  }
  return { runnerOf, everywhere: !runnerOf.includes(-1), somewhere: runnerOf.some((runner) => runner >= 0) };
}

function serves(runner: RunnerInfo, gpuId: string, modelId: string, type: string): boolean {
  return (
    runner.models.some((model) => model === "*" || model === modelId) &&
    (runner.types.length === 0 || runner.types.includes(type)) &&
    (runner.gpuIds.length === 0 || runner.gpuIds.some((id) => id === gpuId))
  );
}
