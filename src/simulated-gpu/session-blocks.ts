// The context of a session as blocks of a prefix cache, for requests that name their session and not their prompt: turn after turn the
// same blocks, and more of them. Used where caches are simulated.
import { BLOCK_TOKENS } from "./prefix-cache.js";

/** The full blocks of the first `tokens` of a session's context; none for a session without a name. 32 bits each. */
export function sessionBlocks(session: string, tokens: number): number[] {
  if (session === "") return [];
  let hash = 0x811c9dc5;
  for (let place = 0; place < session.length; place += 1) hash = Math.imul(hash ^ session.charCodeAt(place), 0x01000193);
  return Array.from({ length: Math.floor(tokens / BLOCK_TOKENS) }, () => {
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
    return hash >>> 0;
  });
}
