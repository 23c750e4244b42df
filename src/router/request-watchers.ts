// Who watches which request. Bounded per watcher: a reader that does not keep up loses live output (it sees a gap in the
// offsets) and intermediate progress, never a transition.
import type { RequestView, WatchEvent } from "../api/router-port.js";
import type { AttemptRef, RequestId } from "../core/model/ids.js";
import { isTerminal } from "../core/model/request.js";
import { RecentOutput } from "./recent-output.js";

/** Live output that one watcher may have waiting, bytes. */
const MAX_WAITING_OUTPUT_BYTES = 1024 * 1024;

/** What each waiting piece of output counts beside its bytes, so that many small ones are bounded too. */
const OUTPUT_OVERHEAD_BYTES = 64;

class Watcher {
  readonly events: WatchEvent[] = [];
  #outputBytes = 0;
  wake: (() => void) | null = null;

  push(event: WatchEvent): void {
    const last = this.events[this.events.length - 1];
    if (event.kind === "progress" && last?.kind === "progress") this.events.pop();
    if (event.kind === "output") {
      const bytes = event.data.byteLength + OUTPUT_OVERHEAD_BYTES;
      if (this.#outputBytes + bytes > MAX_WAITING_OUTPUT_BYTES) return;
      this.#outputBytes += bytes;
    }
    this.events.push(event);
    this.wake?.();
  }

  shift(): WatchEvent | undefined {
    const event = this.events.shift();
    if (event?.kind === "output") this.#outputBytes -= event.data.byteLength + OUTPUT_OVERHEAD_BYTES;
    return event;
  }
}

export class RequestWatchers {
  readonly #recentOutput = new RecentOutput();
  /** The lists are replaced, never changed: whoever holds one holds those who watched then. */
  readonly #byRequest = new Map<RequestId, readonly Watcher[]>();
  #noneLeft: (() => void)[] = [];

  watched(requestId: RequestId): boolean {
    return this.#byRequest.has(requestId);
  }

  /** What tells `view` to those who watch now, to be called when it is durable. Who comes later begins with a newer state. */
  telling(requestId: RequestId, view: RequestView): () => void {
    const watchers = this.#byRequest.get(requestId) ?? [];
    return () => {
      for (const watcher of watchers) watcher.push({ kind: "request", view });
    };
  }

  /** Resolves when nobody watches any more. */
  none(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#byRequest.size === 0) resolve();
      else this.#noneLeft.push(resolve);
    });
  }

  progress(ref: AttemptRef, fraction: number, message: string): void {
    for (const watcher of this.#byRequest.get(ref.requestId) ?? []) watcher.push({ kind: "progress", fraction, message });
  }

  /** What tells those who watch now, once it is durable, that what `attempt` has put out is void; null when nobody does. */
  voiding(requestId: RequestId, attempt: number, reason: string): (() => void) | null {
    this.#recentOutput.forget(requestId);
    const watchers = this.#byRequest.get(requestId);
    if (!watchers) return null;
    return () => {
      for (const watcher of watchers) watcher.push({ kind: "output_void", attempt, reason });
    };
  }

  output(ref: AttemptRef, offset: number, data: Uint8Array): void {
    this.#recentOutput.add(ref, offset, data);
    for (const watcher of this.#byRequest.get(ref.requestId) ?? []) watcher.push({ kind: "output", attempt: ref.attempt, offset, data });
  }

  /**
   * Events from the present state on, until the final state was given or `signal` aborts. `present` resolves to the state as
   * it was when it was called. Registers at once, so that nothing between now and then is missed; what the present attempt put
   * out shortly before comes too.
   */
  watch(requestId: RequestId, present: () => Promise<RequestView | null>, signal: AbortSignal): AsyncIterable<WatchEvent> {
    const watcher = new Watcher();
    for (const piece of this.#recentOutput.of(requestId)) watcher.push({ kind: "output", ...piece });
    this.#byRequest.set(requestId, [...(this.#byRequest.get(requestId) ?? []), watcher]);
    const leave = (): void => {
      this.#leave(requestId, watcher);
      watcher.wake?.();
    };
    signal.addEventListener("abort", leave, { once: true });
    return this.#events(watcher, present(), leave, signal);
  }

  #leave(requestId: RequestId, watcher: Watcher): void {
    const left = (this.#byRequest.get(requestId) ?? []).filter((other) => other !== watcher);
    if (left.length > 0) this.#byRequest.set(requestId, left);
    else this.#byRequest.delete(requestId);
    if (this.#byRequest.size > 0) return;
    for (const tell of this.#noneLeft.splice(0)) tell();
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
