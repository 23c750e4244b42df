// What engines tell of themselves, kept with their nodes and told to the ledger. Called by fleet.ts when figures come, grow old or lose
// their runner.
import type { GpuInventory } from "../model/gpu.js";
import type { NodeEntry } from "./node-entry.js";
import type { WorkLedger } from "./work-ledger.js";

/** Tells the ledger what the engines of a node hold, GPU by GPU; where they no longer say, that it is nothing but ours. */
export function tellLedger(work: WorkLedger, { gpus, runners, loads }: NodeEntry, inventory: readonly GpuInventory[], nowMs: number): void {
  for (const gpu of gpus) {
    const { gpuId } = inventory[gpu]!;
    let modelId = "";
    let requests = 0;
    let kvUse = 0;
    let toldAtMs = nowMs;
    for (const { name, gpuIds, models } of runners) {
      const told = loads.get(name);
      const model = models.find((each) => each !== "*");
      // Of an engine on several GPUs, or of which nobody knows what it serves, it cannot be said what each request takes.
      if (!told || model === undefined || gpuIds.length !== 1 || gpuIds[0] !== gpuId) continue;
      const { load, atMs } = told;
      modelId = model;
      requests += load.running + load.waiting;
      kvUse = Math.max(kvUse, load.kvUse ?? 0);
      toldAtMs = Math.min(toldAtMs, atMs);
    }
    if (modelId !== "") work.engineTells(gpu, { modelId, requests, tokens: kvUse * work.kvCapacityTokens[gpu]! }, toldAtMs, nowMs);
    else if (work.hasOthers(gpu)) work.forgetOthers(gpu, nowMs);
  }
}

/** Forgets figures that are older than `maxAgeMs`, and what the ledger made of those that are gone. */
export function forgetOldFigures(work: WorkLedger, node: NodeEntry, inventory: readonly GpuInventory[], nowMs: number, maxAgeMs: number): void {
  const { loads, gpus } = node;
  let forgot = false;
  for (const [runner, { atMs }] of loads) if (nowMs - atMs > maxAgeMs) forgot = loads.delete(runner);
  if (forgot || (loads.size === 0 && gpus.some((gpu) => work.hasOthers(gpu)))) tellLedger(work, node, inventory, nowMs);
}
