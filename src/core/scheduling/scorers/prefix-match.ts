import type { Ask, RequestScorer } from "../contract.js";

/** llm-d's prefix scorer: share of the prompt's blocks that the GPU has lately read; 0 for a prompt without hashes. */
export const prefixMatch: RequestScorer = {
  name: "prefix_match",
  value(fleet, ask, gpu) {
    const blocks = blocksOf(ask);
    return blocks.length === 0 ? 0 : (fleet.prefixes.lengths(ask.spec.modelId, blocks)[gpu] ?? 0) / blocks.length;
  },
  add(fleet, ask, candidates, count, weight, totals) {
    const blocks = blocksOf(ask);
    if (blocks.length === 0) return;
    const lengths = fleet.prefixes.lengths(ask.spec.modelId, blocks);
    const share = weight / blocks.length;
    for (let k = 0; k < count; k += 1) totals[k]! += share * (lengths[candidates[k]!] ?? 0);
  },
};

function blocksOf(ask: Ask): readonly number[] {
  return ask.spec.wishes?.prefixHashes ?? [];
}
