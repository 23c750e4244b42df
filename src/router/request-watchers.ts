// Who watches which request. Bounded per watcher: a reader that does not keep up loses live output (it sees a gap in the
// offsets) and intermediate progress, never a transition.
import type { RequestView, WatchEvent } from "../api/router-port.js";
import type { AttemptRef, RequestId } from "../core/model/ids.js";
import { isTerminal } from "../core/model/request.js";

/** Live output that one watcher may have waiting, bytes. */
const MAX_WAITING_OUTPUT_BYTES = 1024 * 1024;

class Watcher {
  readonly events: WatchEvent[] = [];
  #outputBytes = 0;
  wake: (() => void) | null = null;

  push(event: WatchEvent): void {
    const last = this.events[this.events.length - 1];
    if (event.kind === "progress" && last?.kind === "progress") this.events.pop();
    if (event.kind === "output") {
      if (this.#outputBytes + event.data.byteLength > MAX_WAITING_OUTPUT_BYTES) return;
      this.#outputBytes += event.data.byteLength;
    }
    this.events.push(event);
    this.wake?.();
  }

  shift(): WatchEvent | undefined {
    const event = this.events.shift();
    if (event?.kind === "output") this.#outputBytes -= event.data.byteLength;
    return event;
  }
}

export class RequestWatchers {
  readonly #byRequest = new Map<RequestId, Set<Watcher>>();

  watched(requestId: RequestId): boolean {
    return this.#byRequest.has(requestId);
  }

  changed(requestId: RequestId, view: RequestView): void {
    for (const watcher of this.#byRequest.get(requestId) ?? []) watcher.push({ kind: "request", view });
  }

  progress(ref: AttemptRef, fraction: number, message: string): void {
    for (const watcher of this.#byRequest.get(ref.requestId) ?? []) watcher.push({ kind: "progress", fraction, message });
  }

  output(ref: AttemptRef, offset: number, data: Uint8Array): void {
    for (const watcher of this.#byRequest.get(ref.requestId) ?? []) watcher.push({ kind: "output", attempt: ref.attempt, offset, data });
  }

  /**
   * Events from the present state on, until the final state was given or `signal` aborts. `present` resolves to the state as
   * it was when it was called. Registers at once, so that nothing between now and then is missed.
   */
  watch(requestId: RequestId, present: () => Promise<RequestView | null>, signal: AbortSignal): AsyncIterable<WatchEvent> {
    const watcher = new Watcher();
    const watchers = this.#byRequest.get(requestId) ?? new Set();
    watchers.add(watcher);
    this.#byRequest.set(requestId, watchers);
    const leave = (): void => {
      watchers.delete(watcher);
      if (watchers.size === 0 && this.#byRequest.get(requestId) === watchers) this.#byRequest.delete(requestId);
      watcher.wake?.();
    };
    signal.addEventListener("abort", leave, { once: true });
    return this.#events(watcher, present(), leave, signal);
  }

  async *#events(watcher: Watcher, present: Promise<RequestView | null>, leave: () => void, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    try {
      const view = await present;
      if (!view) return;
      yield { kind: "request", view };
      if (isTerminal(view.request.phase)) return;
      while (!signal.aborted) {
        const event = watcher.shift();
        if (!event) {
          await new Promise<void>((resolve) => {
            watcher.wake = resolve;
          });
          watcher.wake = null;
          continue;
        }
        yield event;
        if (event.kind === "request" && isTerminal(event.view.request.phase)) return;
      }
    } finally {
      signal.removeEventListener("abort", leave);
      leave();
    }
  }
}
