// Watches how much of its memory the router has in use, so that admission can shed before the process is killed for it. Made by router.ts.
import process from "node:process";
import { getHeapStatistics } from "node:v8";
import type { Logger } from "pino";

const LOOK_EVERY_MS = 1_000;

/** Shares of what this process may have, 0..1. */
export interface MemoryUse {
  /** Of the JavaScript heap. */
  readonly heapShare: number;
  /** Of the memory that the operating system allows; 0 when it sets no limit. Payloads lie outside the heap. */
  readonly processShare: number;
}

export class MemoryWatch {
  readonly #timer: NodeJS.Timeout;
  #told = 0;

  /** Calls `tell` with the larger share: at each look while it is at least `above`, and once when it has fallen below. */
  constructor(above: number, log: Pick<Logger, "warn" | "info">, tell: (share: number) => void, measure: () => MemoryUse = measured) {
    this.#timer = setInterval(() => {
      const { heapShare, processShare } = measure();
      const share = Math.min(1, Math.max(heapShare, processShare));
      const was = this.#told >= above;
      if (share < above && !was) return;
      this.#told = share;
      if (share >= above && !was) log.warn({ heapShare, processShare }, "memory is short: only more urgent requests come in, in the place of less urgent ones");
      if (share < above) log.info({ heapShare, processShare }, "memory is no longer short");
      tell(share);
    }, LOOK_EVERY_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

function measured(): MemoryUse {
  const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
  // Without a limit of its own the process is told something that no machine has, or nothing.
  const allowed = process.constrainedMemory();
  const limited = allowed !== undefined && allowed > 0 && allowed < Number.MAX_SAFE_INTEGER;
  return { heapShare: used / limit, processShare: limited ? process.memoryUsage.rss() / allowed : 0 };
}
