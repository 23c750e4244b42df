// A line from somebody to the router, which loses some of the calls and some of the answers.
import type { Router } from "../../../src/router/router.js";
import type { Draw } from "./draw.js";
import type { SimulatedRouter } from "./simulated-router.js";
import type { VirtualTime } from "./virtual-time.js";

export interface LineConduct {
  /** Share of calls, and of answers, that get lost. */
  lossShare: number;
  readonly delayMs: () => number;
}

export interface CallerLineOptions {
  readonly time: VirtualTime;
  readonly draw: Draw;
  readonly machine: SimulatedRouter;
  readonly conduct: LineConduct;
  /** Who calls, in the trace. */
  readonly caller: string;
  readonly note: (text: () => string) => void;
}

export class CallerLine {
  readonly #options: CallerLineOptions;

  constructor(options: CallerLineOptions) {
    this.#options = options;
  }

  /** One call to the router and its answer. `left` is called as the answer leaves the router. */
  call<T>(what: string, run: (router: Router) => Promise<T>, left: (value: T) => void, heard: (value: T) => void): void {
    const { time, draw, conduct, machine, caller, note } = this.#options;
    if (draw.chance(conduct.lossShare)) return;
    time.after(conduct.delayMs(), null, () =>
      time.after(0, machine.process, () => {
        const { router } = machine;
        if (!router) return;
        note(() => `${caller.padEnd(8)} ${what}`);
        void run(router).then((value) => {
          left(value);
          this.answer(() => heard(value));
        });
      }),
    );
  }

  /** Something that the router tells. */
  answer(heard: () => void): void {
    const { time, draw, conduct } = this.#options;
    const late = conduct.delayMs();
    if (!draw.chance(conduct.lossShare)) time.after(late, null, heard);
  }
}
