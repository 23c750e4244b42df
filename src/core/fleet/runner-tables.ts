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
}

export class RunnerTables {
  readonly #tables = new Map<string, RunnerTable>();

  for(source: RunnerSource, modelId: string, type: string): RunnerTable {
    const key = `${modelId}\n${type}`;
    let table = this.#tables.get(key);
    if (!table || table.runnerOf.length !== source.size) {
      if (this.#tables.size >= MAX_TABLES) this.#tables.clear();
      table = build(source, modelId, type);
      this.#tables.set(key, table);
    }
    return table;
  }

  invalidate(): void {
    this.#tables.clear();
  }
}

function build(source: RunnerSource, modelId: string, type: string): RunnerTable {
  const runnerOf = new Int16Array(source.size).fill(-1);
  for (let gpu = 0; gpu < source.size; gpu += 1) {
    const gpuId = source.inventory[gpu]?.gpuId ?? "";
    runnerOf[gpu] = (source.nodeOf[gpu]?.runners ?? []).findIndex((runner) => serves(runner, gpuId, modelId, type));
  }
  return { runnerOf, everywhere: !runnerOf.includes(-1) };
}

function serves(runner: RunnerInfo, gpuId: string, modelId: string, type: string): boolean {
  return (
    runner.models.some((model) => model === "*" || model === modelId) &&
    (runner.types.length === 0 || runner.types.includes(type)) &&
    (runner.gpuIds.length === 0 || runner.gpuIds.some((id) => id === gpuId))
  );
}
