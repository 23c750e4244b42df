// Who is told of the ends of requests: a receiver of callbacks that is deaf now and then, or hears and does not say so. It remembers all.
import type { SendOutcome } from "../../../src/callbacks/sender.js";
import type { Draw } from "./draw.js";

/** One callback, as it was first received. */
export interface Heard {
  readonly eventId: string;
  readonly type: string;
  readonly sequence: number;
  readonly status: string;
}

export interface ReceiverConduct {
  /** Share of callbacks that it does not get, or gets and does not confirm. */
  deafShare: number;
}

interface Body {
  readonly type: string;
  readonly data: { readonly sequence: number; readonly request: { readonly request_id: string; readonly state: string } };
}

export class SimulatedReceiver {
  /** By request, in the order in which they were first heard. */
  readonly heard = new Map<string, Heard[]>();
  readonly conduct: ReceiverConduct = { deafShare: 0 };
  repeats = 0;
  readonly #draw: Draw;
  readonly #onHeard: (requestId: string, heard: Heard) => void;

  /** `onHeard` is called as a callback leaves the router. */
  constructor(draw: Draw, onHeard: (requestId: string, heard: Heard) => void) {
    this.#draw = draw;
    this.#onHeard = onHeard;
  }

  /** In the place of the sender over HTTP; runs in the router's process. */
  readonly sender = {
    send: (_url: string, eventId: string, body: string, stop: AbortSignal): Promise<SendOutcome> => {
      const lost = this.#draw.chance(this.conduct.deafShare / 2);
      const unconfirmed = this.#draw.chance(this.conduct.deafShare / 2);
      const { type, data } = JSON.parse(body) as Body;
      const { request_id: requestId, state: status } = data.request;
      this.#onHeard(requestId, { eventId, type, sequence: data.sequence, status });
      return new Promise((resolve) => {
        const arrives = (): void => {
          stop.removeEventListener("abort", cut);
          if (!lost) this.#hear(requestId, { eventId, type, sequence: data.sequence, status });
          resolve(lost || unconfirmed ? { kind: "failed", error: "deaf", retryAfterMs: 0 } : { kind: "delivered" });
        };
        const timer = setTimeout(arrives, this.#draw.between(1, 20));
        const cut = (): void => {
          clearTimeout(timer);
          resolve({ kind: "failed", error: "cut", retryAfterMs: 0 });
        };
        stop.addEventListener("abort", cut, { once: true });
      });
    },
    close: () => Promise.resolve(),
  };

  #hear(requestId: string, heard: Heard): void {
    const before = this.heard.get(requestId) ?? [];
    if (before.some(({ eventId }) => eventId === heard.eventId)) this.repeats += 1;
    else this.heard.set(requestId, [...before, heard]);
  }
}
