// Waits for a condition, for tests of what other processes and timers do.
import { setTimeout as delay } from "node:timers/promises";

const GIVE_UP_AFTER_MS = 15_000;

/** Resolves when `condition` holds; rejects when it has not for long. */
export async function eventually(condition: () => boolean): Promise<void> {
  const giveUpAtMs = performance.now() + GIVE_UP_AFTER_MS;
  while (!condition()) {
    if (performance.now() > giveUpAtMs) throw new Error(`It did not come within ${GIVE_UP_AFTER_MS} ms.`);
    await delay(10);
  }
}
