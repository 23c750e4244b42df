import type { Strategy } from "../contract.js";

/** Any GPU that can take the request: without terms all tie, and the seed decides. */
export const random: Strategy = {
  name: "random",
  scorers: [],
};
