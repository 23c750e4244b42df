import type { UniformScorer } from "../contract.js";

/** Priority / 5. The same for every GPU, so it never changes the choice; it is part of the reference score (row R2). */
export const priority: UniformScorer = {
  name: "priority",
  valueForAll: (ask) => ask.spec.priority / 5,
};
