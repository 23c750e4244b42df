// The router's machine: the production router in a simulated process on a simulated disk, started again and again.
import type { Event } from "../../../src/core/events.js";
import type { Record } from "../../../src/core/records.js";
import type { CoreSettings } from "../../../src/core/settings.js";
import { Deliverer, type DelivererOptions } from "../../../src/callbacks/deliverer.js";
import type { CallbackLimits } from "../../../src/config/callback-config.js";
import type { AgentTerms, RetentionLimits } from "../../../src/config/router-config.js";
import { monotonicClock } from "../../../src/router/clock.js";
import { Router, type RouterOptions } from "../../../src/router/router.js";
import { silentLog } from "./silent-log.js";
import { SimulatedJournal, type SimulatedDisk } from "./simulated-disk.js";
import type { Connection, Listener } from "./simulated-network.js";
import { SimulatedProcess, type VirtualTime } from "./virtual-time.js";

/** A graceful end that takes longer is a kill. */
const STOP_MS = 3_000;

export interface RouterSettings {
  readonly core: CoreSettings;
  readonly agentTerms: AgentTerms;
  readonly retention: RetentionLimits;
  readonly callbacks: CallbackLimits;
}

export interface SimulatedRouterOptions extends RouterSettings {
  readonly time: VirtualTime;
  readonly disk: SimulatedDisk;
  readonly clockRate: number;
  /** Carries callbacks to whom they concern. */
  readonly sender: DelivererOptions["sender"];
  /** After each step of the engine. */
  readonly onStep: (event: Event, nowMs: number, records: readonly Record[]) => void;
  /** With each batch of records, as they can be read back, before it is durable. */
  readonly onAppend: (records: readonly Record[]) => void;
  /** A router has recovered; its first step has been made. */
  readonly onStart: (router: Router) => void;
  readonly onJournalFailure: () => void;
}

export class SimulatedRouter {
  process: SimulatedProcess | null = null;
  /** null while it is down or starts: nobody is served before its epoch is durable. */
  router: Router | null = null;
  /** What its wall clock shows beyond virtual time at the next start, ms. */
  wallOffsetMs = 0;
  readonly connections = new Set<Connection>();
  readonly #options: SimulatedRouterOptions;

  constructor(options: SimulatedRouterOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.process) return;
    const { time, disk, core, agentTerms, retention, callbacks, clockRate, sender, onStep, onAppend, onStart, onJournalFailure } = this.#options;
    const process = new SimulatedProcess("router", this.wallOffsetMs, clockRate);
    this.process = process;
    time.after(0, process, () => {
      const journal = new SimulatedJournal(disk, time, process, onAppend);
      const recorder = { recovered: () => {}, replayed: () => {}, stepped: onStep, close: () => Promise.resolve() };
      const wall = { now: () => Date.now() };
      const delivery: RouterOptions["delivery"] = (bodyOf) => new Deliverer({ outbox: journal.outbox, sender, limits: callbacks, clock: wall, log: silentLog, bodyOf });
      const router = new Router({ delivery, settings: core, agentTerms, retention, journal, clock: monotonicClock(), log: silentLog, resultBaseUrl: () => "", onJournalFailure, recorder });
      onStart(router);
      void router.durable().then(() => {
        if (process.alive) this.router = router;
      });
    });
  }

  /** What agents connect to; null while nobody listens. */
  readonly listener = (): Listener | null => {
    const { process, router } = this;
    if (!process || !router) return null;
    return {
      process,
      accept: (stream) => {
        // It has what the router uses of grpc-js's stream.
        router.agents.connect(stream as unknown as Parameters<typeof router.agents.connect>[0]);
      },
    };
  };

  /** `silently`: nobody tells the agents. */
  kill(silently: boolean): void {
    const { process } = this;
    if (!process) return;
    process.alive = false;
    this.#options.disk.interrupted();
    for (const connection of this.connections) {
      if (silently) connection.die();
      else connection.processGone(process);
      this.connections.delete(connection);
    }
    this.process = null;
    this.router = null;
  }

  /** As on SIGTERM: what is under way becomes durable, with a snapshot; then it is down. */
  stop(): void {
    const { process, router } = this;
    if (!process || !router) return;
    const down = (): void => {
      if (this.process === process) this.kill(false);
    };
    this.#options.time.after(0, process, () => void router.stop().then(down));
    this.#options.time.after(STOP_MS, null, down);
  }
}
