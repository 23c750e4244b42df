// What engines tell of themselves, kept with their nodes and told to the ledger. Called by fleet.ts when figures come and when they may have
// grown old or lost their runner.
import type { GpuId } from "../model/ids.js";
import type { GpuInventory } from "../model/gpu.js";
import type { NodeEntry } from "./node-entry.js";
import type { EngineFigures } from "./others-work.js";
import type { WorkLedger } from "./work-ledger.js";

/** Of all engines of a GPU; null when none tells anything, or what it tells cannot be split: it has several GPUs, or nobody knows what it serves. */
function figuresOf({ runners, loads }: NodeEntry, gpuId: GpuId, kvCapacityTokens: number): EngineFigures | null {
  const all = runners.flatMap(({ name, gpuIds, models }) => {
    const told = loads.get(name);
    const modelId = models.find((each) => each !== "*");
    return told && modelId !== undefined && gpuIds.length === 1 && gpuIds[0] === gpuId ? [{ ...told, modelId }] : [];
  });
  if (!all[0]) return null;
  return {
    modelId: all[0].modelId,
    requests: all.reduce((sum, { load }) => sum + load.running + load.waiting, 0),
    tokens: Math.max(...all.map(({ load }) => load.kvUse ?? 0)) * kvCapacityTokens,
    atMs: Math.min(...all.map(({ atMs }) => atMs)),
  };
}

/** Tells the ledger what the engines of a GPU have just said. */
export function tellLedger(work: WorkLedger, node: NodeEntry, gpu: number, { gpuId }: GpuInventory, nowMs: number): void {
  const figures = figuresOf(node, gpuId, work.kvCapacityTokens[gpu]!);
  if (figures) work.engineTells(gpu, figures, nowMs);
}

/** Forgets figures that are older than `maxAgeMs`, and what the ledger made of those that are gone. */
export function forgetOldFigures(work: WorkLedger, node: NodeEntry, inventory: readonly GpuInventory[], nowMs: number, maxAgeMs: number): void {
  for (const [runner, { atMs }] of node.loads) if (nowMs - atMs > maxAgeMs) node.loads.delete(runner);
  for (const gpu of node.gpus) if (work.others.has(gpu) && !figuresOf(node, inventory[gpu]!.gpuId, 0)) work.forgetOthers(gpu, nowMs);
}
