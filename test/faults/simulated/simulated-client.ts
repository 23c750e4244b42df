// A simulated caller: submits, submits again with the same id when it hears nothing, asks for the state now and then, watches, cancels.
// What it was told it never forgets: that is what the router is held to.
import type { RequestView, RouteOutcome } from "../../../src/api/router-port.js";
import { isTerminal, type Phase, type RequestSpec } from "../../../src/core/model/request.js";
import type { Router } from "../../../src/router/router.js";
import type { CallerLine } from "./caller-line.js";
import type { Draw } from "./draw.js";
import type { VirtualTime } from "./virtual-time.js";

/** How long a caller waits for an answer before it tries again, ms. */
const PATIENCE_MS = 1_500;

/** What a caller saw at the end of its request. */
export interface SeenEnd {
  readonly phase: Phase;
  readonly code: string;
  readonly result: string;
}

/** Everything that callers were told of one request. */
export interface Told {
  readonly spec: RequestSpec;
  acknowledged: boolean;
  readonly ends: SeenEnd[];
  /** Seen alive after it was seen to have ended. */
  revived: boolean;
  /** What the router took for a repeat or a clash, and was not. */
  mistaken: string;
}

export interface SimulatedClientOptions {
  readonly time: VirtualTime;
  readonly draw: Draw;
  readonly line: CallerLine;
  /** The router gives an answer, at this moment: is it allowed to? */
  readonly onAnswer: (requestId: string, answer: { readonly acknowledged: true } | { readonly view: RequestView }) => void;
  /** What came of a submit, as it leaves the router. */
  readonly onOutcome: (spec: RequestSpec, outcome: RouteOutcome) => void;
  /** Whether the router has promised this request to anybody. */
  readonly isPromised: (requestId: string) => boolean;
  /** The router says that it does not know a request that was promised before it was asked. */
  readonly onLost: (requestId: string) => void;
}

export class SimulatedClient {
  readonly told: Told;
  /** A view that shows the end has left the router. */
  ended = false;
  readonly #options: SimulatedClientOptions;

  constructor(spec: RequestSpec, options: SimulatedClientOptions) {
    this.told = { spec, acknowledged: false, ends: [], revived: false, mistaken: "" };
    this.#options = options;
  }

  get #id(): RequestSpec["requestId"] {
    return this.told.spec.requestId;
  }

  get done(): boolean {
    return this.told.ends.length > 0;
  }

  /** Submits until it is acknowledged, then asks until it has ended, and twice more. */
  begin(): void {
    const { time, draw } = this.#options;
    this.submit();
    const again = (): void => {
      if (!this.told.acknowledged) {
        this.submit();
        time.after(PATIENCE_MS * draw.between(0.7, 1.3), null, again);
        return;
      }
      this.ask();
      if (this.told.ends.length < 3) time.after(draw.between(300, 1_500), null, again);
    };
    time.after(PATIENCE_MS, null, again);
  }

  submit(): void {
    const { line, onAnswer, onOutcome } = this.#options;
    line.call(
      `submits ${this.#id}`,
      (router) => router.route(this.told.spec),
      (outcome) => {
        onOutcome(this.told.spec, outcome);
        if (outcome.kind === "accepted") onAnswer(this.#id, { acknowledged: true });
        if (outcome.kind === "id_conflict") this.told.mistaken = "submitted again it is taken for another one";
      },
      (outcome) => {
        if (outcome.kind === "accepted") this.told.acknowledged = true;
      },
    );
  }

  /** Submits something else under an id that was promised already. */
  clash(): void {
    const { line, isPromised, onOutcome } = this.#options;
    const other = { ...this.told.spec, contentHash: "something else" };
    line.call(
      `submits something else as ${this.#id}`,
      async (router) => (isPromised(this.#id) ? router.route(other) : null),
      (outcome) => {
        if (outcome) onOutcome(other, outcome);
        if (outcome?.kind === "accepted") this.told.mistaken = "something else is taken for a repeat of it";
      },
      () => {},
    );
  }

  ask(): void {
    this.#see(`asks for ${this.#id}`, (router) => router.status(this.#id));
  }

  cancel(): void {
    this.#see(`cancels ${this.#id}`, (router) => router.cancel(this.#id, "not wanted any more"));
  }

  /** Sees every event until the end, or until the router is gone. */
  watch(): void {
    const { line } = this.#options;
    line.call(
      `watches ${this.#id}`,
      async (router) => {
        const { ended } = this;
        const events = router.watch(this.#id, new AbortController().signal);
        if (!events) return;
        for await (const event of events) {
          if (event.kind !== "request") continue;
          this.#left(event.view, ended);
          const seen = seenOf(event.view);
          line.answer(() => this.#seen(seen));
        }
      },
      () => {},
      () => {},
    );
  }

  #see(what: string, run: (router: Router) => Promise<RequestView | null>): void {
    const { line, isPromised, onLost } = this.#options;
    line.call(
      what,
      async (router) => {
        const promised = isPromised(this.#id);
        const { ended } = this;
        const view = await run(router);
        if (view) this.#left(view, ended);
        else if (promised) onLost(this.#id);
        return view && seenOf(view);
      },
      () => {},
      (seen) => this.#seen(seen),
    );
  }

  #seen(seen: SeenEnd | null): void {
    if (seen && isTerminal(seen.phase)) this.told.ends.push(seen);
  }

  /** A view leaves the router. `ended`: whether another one had left that showed the end, before this one was asked for. */
  #left(view: RequestView, ended: boolean): void {
    this.#options.onAnswer(this.#id, { view });
    if (isTerminal(view.request.phase)) this.ended = true;
    else if (ended) this.told.revived = true;
  }
}

function seenOf({ request, result }: RequestView): SeenEnd {
  return { phase: request.phase, code: request.error?.code ?? "", result: result ? new TextDecoder().decode(result) : "" };
}
