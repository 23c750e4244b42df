// The agent of one node: keeps a stream to the router, pushes telemetry, runs what is dispatched, tells what became of it.
// Protocol decisions are link/agent-session.ts's; work is done by runners/, GPUs are read by probes/.
import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import type { Logger } from "pino";
import {
  AttemptEventSchema,
  AttemptOutcome,
  ConnectRequestSchema,
  type AttemptEvent,
  type AttemptRef,
  type ConnectResponse,
  type Dispatch,
} from "../../gen/gpurouter/v1/agent_pb.js";
import { ChurnMap } from "../lib/churn-map.js";
import { AgentSession } from "../link/agent-session.js";
import { attemptKey } from "../link/attempt-key.js";
import { StallWatch } from "../link/stall-watch.js";
import { endedMessage, helloMessage, jobOf, runnerListMessage, telemetryMessage, unknownRunnerMessage } from "./agent-codec.js";
import { EngineLoads } from "./engine-loads.js";
import { EventOutbox } from "./event-outbox.js";
import { GpuEvents } from "./gpu-events.js";
import { GrpcTransport } from "./grpc-transport.js";
import { GpuRestarts, type RestartGpu } from "./gpu-restarts.js";
import { obeyModelOrder } from "./model-orders.js";
import type { Probe, ProbedGpu } from "./probes/probe.js";
import { NO_CREDENTIALS, type CredentialSources } from "../wire/router-credentials.js";
import { RouterConnection, type RouterTransport } from "./router-connection.js";
import { STOP_AT_ONCE, type Runner } from "./runners/runner.js";

/** How often to look at the lease and at a silent router. */
const WATCH_MS = 50;

export interface AgentOptions {
  readonly nodeId: string;
  readonly routerAddress: string;
  /** How the router is shown who this is; nothing when left out. */
  readonly credentials?: CredentialSources;
  readonly version: string;
  readonly probe: Probe;
  readonly gpus: readonly ProbedGpu[];
  readonly runners: readonly Runner[];
  /** What restarts a GPU; null when nothing may. */
  readonly restartGpu?: RestartGpu | null;
  readonly log: Logger;
  readonly transport?: RouterTransport;
}

/** What this process has done; logged at the end, for people and for tests that count. */
export interface AgentCounts {
  started: number;
  readonly ended: { [outcome: string]: number };
}

export class Agent {
  readonly counts: AgentCounts = { started: 0, ended: {} };
  readonly #options: AgentOptions;
  readonly #instanceId = randomUUID();
  readonly #startedAtMs = performance.now();
  readonly #session = new AgentSession();
  readonly #connection: RouterConnection;
  readonly #aborts = new ChurnMap<string, AbortController>();
  readonly #fenced = new Set<string>();
  readonly #runnerByName: ReadonlyMap<string, Runner>;
  readonly #engineLoads: EngineLoads;
  readonly #restarts: GpuRestarts;
  readonly #stops: (() => void)[] = [];
  readonly #events = new EventOutbox();
  readonly #gpuEvents = new GpuEvents();
  #runnersChanged = false;
  #flushing = false;
  /** Of the present stream. */
  #timers: NodeJS.Timeout[] = [];
  readonly #stalls = new StallWatch(WATCH_MS);
  #draining = false;
  #idle: (() => void) | null = null;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#runnerByName = new Map(options.runners.map((runner) => [runner.name, runner]));
    this.#engineLoads = new EngineLoads(options.runners, () => this.#flushSoon());
    this.#restarts = new GpuRestarts(options.restartGpu ?? null, options.gpus, options.log, () => this.#flushSoon());
    const { routerAddress, credentials = NO_CREDENTIALS, log, transport = new GrpcTransport(routerAddress, credentials, log) } = options;
    this.#connection = new RouterConnection(routerAddress, transport, log, {
      hello: () =>
        create(ConnectRequestSchema, {
          beat: this.#session.nextBeat(performance.now()),
          hello: helloMessage({
            nodeId: options.nodeId,
            instanceId: this.#instanceId,
            version: options.version,
            highestEpoch: this.#session.highestEpoch,
            gpus: options.gpus,
            runners: this.#draining ? [] : options.runners,
            held: this.#session.held,
            restartsGpus: Boolean(options.restartGpu),
          }),
        }),
      onMessage: (message) => this.#onMessage(message),
      onDown: () => this.#onDown(),
      onDrain: () => this.#flushSoon(),
    });
  }

  get connected(): boolean {
    return this.#session.welcome !== null;
  }

  /** Attempts that run here. */
  get running(): number {
    return this.#session.running;
  }

  start(): void {
    const { probe, runners } = this.#options;
    this.#stops.push(
      probe.onEvent((event) => {
        this.#gpuEvents.push(event, performance.now());
        this.#flushSoon();
      }),
    );
    for (const runner of runners) this.#stops.push(runner.onChange(() => this.#tellRunners()));
    const watch = setInterval(() => this.#watch(), WATCH_MS);
    this.#stops.push(() => clearInterval(watch));
    this.#connection.open();
  }

  /** Takes no new work (the router is told), waits up to `graceMs` for what runs, then stops it. */
  async stop(graceMs: number): Promise<void> {
    this.#draining = true;
    this.#tellRunners();
    if (this.running > 0) {
      this.#options.log.info({ running: this.running }, "waiting for running attempts");
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs);
        this.#idle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    for (const abort of this.#aborts.values()) abort.abort();
    await Promise.all(this.#options.runners.map((runner) => runner.close()));
    await this.#restarts.close(graceMs);
    this.#flush();
    for (const stop of this.#stops) stop();
    this.#onDown();
    await this.#connection.close();
    await this.#options.probe.close();
    this.#options.log.info({ counts: this.counts }, "agent stopped");
  }

  #onMessage(message: ConnectResponse): void {
    const now = performance.now();
    if (message.welcome) {
      const resend = this.#session.welcomed(message.welcome, now);
      if (!resend) {
        this.#connection.drop(`the router's epoch ${message.welcome.epoch} is lower than ${this.#session.highestEpoch}`);
        return;
      }
      this.#options.log.info({ epoch: Number(message.welcome.epoch), held: this.#session.held.length }, "connected to the router");
      // Live output of the time between is gone; what the router must know is sent again.
      this.#events.restart(resend);
      this.#gpuEvents.welcomed(now);
      this.#restarts.tellAgain();
      this.#timers = [setInterval(() => this.#send(true), message.welcome.heartbeatIntervalMs), setInterval(() => this.#look(), message.welcome.telemetryIntervalMs)];
      this.#look();
      this.#flushSoon();
    }
    // A process that goes on after a pause reads first what came meanwhile: what is out of its lease stops at once, whatever it is told.
    this.#fence(now);
    const { start, stop, orders, restarts, lateRestarts, tell } = this.#session.received(message, now);
    for (const runner of this.#options.runners) runner.leaseUntil?.(this.#session.leaseUntilMs);
    for (const event of tell) this.#push(event);
    for (const ref of stop) this.#aborts.get(attemptKey(ref))?.abort();
    for (const order of orders) obeyModelOrder(order, this.#runnerByName, this.#options.log);
    for (const order of restarts) this.#restarts.order(order, false);
    for (const order of lateRestarts) this.#restarts.order(order, true);
    for (const dispatch of start) void this.#run(dispatch);
  }

  #onDown(): void {
    this.#session.disconnected();
    this.#engineLoads.clear();
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
  }

  async #run(dispatch: Dispatch): Promise<void> {
    const { ref } = dispatch;
    if (!ref) return;
    this.#options.log.debug({ request: ref.requestId, attempt: ref.attempt }, "attempt received");
    const abort = new AbortController();
    this.#aborts.set(attemptKey(ref), abort);
    const maxResultBytes = this.#session.welcome?.maxResultBytes ?? 0;
    let offset = 0;
    const sink = {
      started: () => {
        this.counts.started += 1;
        this.#push(this.#session.started(ref));
      },
      progress: (fraction: number, message: string) => {
        if (this.#hasRoom(ref)) this.#push(create(AttemptEventSchema, { ref, event: { case: "progress", value: { fraction, message } } }));
      },
      output: (data: Uint8Array) => {
        if (this.#hasRoom(ref)) this.#push(create(AttemptEventSchema, { ref, event: { case: "output", value: { offset: BigInt(offset), data } } }));
        offset += data.byteLength;
      },
    };
    const runner = this.#runnerByName.get(dispatch.runner);
    const ended = runner
      ? endedMessage(await runner.run(jobOf(dispatch, ref), sink, { maxResultBytes }, abort.signal))
      : unknownRunnerMessage(dispatch.runner);
    this.#aborts.delete(attemptKey(ref));
    if (this.#fenced.delete(attemptKey(ref)) && ended.outcome === AttemptOutcome.CANCELLED) ended.outcome = AttemptOutcome.FENCED;
    const outcome = AttemptOutcome[ended.outcome].toLowerCase();
    this.counts.ended[outcome] = (this.counts.ended[outcome] ?? 0) + 1;
    this.#options.log.info({ request: ref.requestId, attempt: ref.attempt, gpu: dispatch.gpuId, outcome, code: ended.error?.code }, "attempt ended");
    this.#push(this.#session.ended(ref, ended));
    if (this.running === 0) this.#idle?.();
  }

  #hasRoom(ref: AttemptRef): boolean {
    return this.connected && this.#events.hasRoom && this.#session.live(ref);
  }

  #push(event: AttemptEvent | null): void {
    // Between streams nothing is collected: the next welcome sends again what matters.
    if (!event || !this.connected) return;
    this.#events.push(event);
    this.#flushSoon();
  }

  #tellRunners(): void {
    this.#runnersChanged = true;
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#flushing = false;
    if (this.#events.length > 0 || this.#gpuEvents.length > 0 || this.#runnersChanged || this.#engineLoads.waiting || this.#restarts.waiting) this.#send(false);
  }

  /** All that is to be said, in one message; an empty one is a heartbeat. Waits while the stream is full. */
  #send(heartbeat: boolean): void {
    if (!this.connected || (!heartbeat && !this.#connection.writable)) return;
    const beat = this.#session.nextBeat(performance.now());
    const message = create(ConnectRequestSchema, { beat, events: this.#events.take(), gpuEvents: this.#gpuEvents.take(performance.now()), runnerLoads: this.#engineLoads.take(), restartReports: this.#restarts.take() });
    if (this.#runnersChanged) message.runners = runnerListMessage(this.#draining ? [] : this.#options.runners);
    this.#runnersChanged = false;
    this.#connection.send(message);
    if (this.#events.length > 0) this.#flushSoon();
  }

  /** At every telemetry interval. */
  #look(): void {
    void this.#telemetry();
    this.#engineLoads.ask();
  }

  async #telemetry(): Promise<void> {
    const askedAtMs = performance.now();
    try {
      const samples = await this.#options.probe.sample();
      if (!this.connected || samples.length === 0) return;
      const ageMs = performance.now() - askedAtMs;
      const uptimeSeconds = (performance.now() - this.#startedAtMs) / 1000;
      const beat = this.#session.nextBeat(performance.now());
      this.#connection.send(create(ConnectRequestSchema, { beat, telemetry: samples.map((sample) => telemetryMessage(sample, ageMs, uptimeSeconds)) }));
    } catch (error) {
      this.#options.log.warn({ error: String(error) }, "no telemetry");
    }
  }

  #watch(): void {
    const now = performance.now();
    const stalledMs = this.#stalls.look(now);
    this.#fence(now);
    if (this.#session.routerSilent(stalledMs, now)) this.#connection.abandon("nothing was heard of the router");
  }

  #fence(now: number): void {
    for (const ref of this.#session.fence(now)) {
      const abort = this.#aborts.get(attemptKey(ref));
      if (!abort || this.#fenced.has(attemptKey(ref))) continue;
      this.#options.log.warn({ request: ref.requestId, attempt: ref.attempt }, "the lease has run out: stopping work that must not run twice");
      this.#fenced.add(attemptKey(ref));
      abort.abort(STOP_AT_ONCE);
    }
  }
}
