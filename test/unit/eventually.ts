// Waits on conditions, for tests of what other processes, connections and timers do.
import { setTimeout as delay } from "node:timers/promises";

const POLL_MS = 5;
const LIMIT_MS = 15_000;

/** Resolves when `condition` holds; rejects with `what` did not come about when it has not for long. */
export async function eventually(condition: () => boolean | Promise<boolean>, what = condition.toString()): Promise<void> {
  const giveUpAtMs = performance.now() + LIMIT_MS;
  while (!(await condition())) {
    if (performance.now() > giveUpAtMs) throw new Error(`not within ${LIMIT_MS} ms: ${what}`);
    await delay(POLL_MS);
  }
}
