// The simulated world of one seed: router, nodes, callers, network and disk in virtual time, the faults that strike them, and the
// invariants that are checked after every step. Called by `run-seed.ts`.
import type { ConnectResponse } from "../../../gen/gpurouter/v1/agent_pb.js";
import type { RequestView, RouteOutcome } from "../../../src/api/router-port.js";
import { Engine } from "../../../src/core/engine.js";
import type { Event } from "../../../src/core/events.js";
import { isTerminal, type RequestSpec } from "../../../src/core/model/request.js";
import type { Record } from "../../../src/core/records.js";
import type { Router } from "../../../src/router/router.js";
import { decodeFrame, decodeSnapshot } from "../../../src/journal/codec.js";
import { ACTS } from "./acts.js";
import { CallerLine, type LineConduct } from "./caller-line.js";
import type { Draw } from "./draw.js";
import { Executions } from "./executions.js";
import { FAULTS } from "./faults.js";
import * as invariants from "./invariants.js";
import { FAULTS_MS, specOf, type Plan } from "./plan.js";
import { SimulatedClient } from "./simulated-client.js";
import { QUOTA_IN_THE_END, TEAMS, USERS } from "./quota-plan.js";
import { Knowledge } from "./knowledge.js";
import * as quotaInvariants from "./quota-invariants.js";
import { SimulatedDisk } from "./simulated-disk.js";
import { Path, type Connection } from "./simulated-network.js";
import { SimulatedNode } from "./simulated-node.js";
import { SimulatedOperator } from "./simulated-operator.js";
import { SimulatedReceiver } from "./simulated-receiver.js";
import { SimulatedRouter } from "./simulated-router.js";
import type { WorkConduct } from "./simulated-work.js";
import type { Trace } from "./trace.js";
import { Violation } from "./violation.js";
import { VirtualTime, type SimulatedProcess } from "./virtual-time.js";

/** After the last fault everything that was accepted ends within this, ms. */
const HEALED_WITHIN_MS = 60_000;
/** After the last end nothing runs any more within this, ms. */
const QUIET_WITHIN_MS = 30_000;
/** How often somebody looks, once all has healed, whether router and agents are up, ms. */
const SUPERVISED_MS = 500;
/** One batch in so many is compared field by field. */
const DEEP_EVERY = 32;

export class World {
  readonly time: VirtualTime;
  readonly disk: SimulatedDisk;
  readonly machine: SimulatedRouter;
  readonly receiver: SimulatedReceiver;
  readonly nodes: readonly SimulatedNode[];
  readonly clients: SimulatedClient[] = [];
  readonly #specs = new Map<string, RequestSpec>();
  readonly conduct: WorkConduct = { badShare: 0, hungShare: 0, slowestStopMs: 200, badRestartShare: 0, slowestRestartMs: 2_000 };
  readonly operator: SimulatedOperator;
  readonly clientConduct: LineConduct;
  /** Where each attempt was sent, by "request#attempt". */
  readonly sent = new Map<string, string>();
  /** Of one message at most, ms. */
  networkDelayMs = 8;
  /** Commits take this many times as long as they should. */
  diskSlowness = 1;
  /** The next commit fails. */
  diskFails = false;
  /** What the disk says. */
  readonly durable: Knowledge;
  /** What this life of the router has recorded. */
  #known: Knowledge;
  /** How often each restart was run. */
  readonly #restarts = new Map<string, number>();
  /** Attempts that had begun to run when somebody last looked whether quotas count them. */
  #begunSeen = 0;
  readonly executions = new Executions();
  /** Requests whose acceptance was answered, whether the answer arrived or not. */
  readonly #promised = new Set<string>();
  /** Requests whose end this life of the router has recorded. */
  readonly #endedNow = new Set<string>();
  readonly #plan: Plan;
  readonly #draw: Draw;
  readonly #trace: Trace;
  /** All records that ever became durable, folded without any snapshot. */
  readonly #allRecords: Engine;
  /** What this life of the router recovered from, and what it has appended since. */
  #replayed: Engine | null = null;
  #engine: Engine | null = null;
  #batches = 0;
  readonly #newNode: (nodeId: string, shape: Plan["nodes"][number], path: string) => SimulatedNode;
  readonly #replacements: SimulatedNode[] = [];
  #stepped = false;
  /** The first thing that did not hold, from wherever it was seen; thrown after the event. */
  #broken: unknown = null;
  #healing = false;
  /** The router's time at its last step, ms. */
  #nowMs = 0;
  engineSteps = 0;
  /** How often what came about, so that a batch of seeds can show that its faults took hold. */
  readonly happened = new Map<string, number>();

  constructor(plan: Plan, draw: Draw, time: VirtualTime, trace: Trace) {
    this.#plan = plan;
    this.#draw = draw;
    this.time = time;
    this.#trace = trace;
    trace.clock(() => time.nowMs);
    this.#allRecords = new Engine(plan.settings.core);
    this.durable = new Knowledge(plan.settings.core.quota);
    this.#known = this.durable.copy();
    const disk = draw.of("disk");
    this.disk = new SimulatedDisk({
      commitMs: () => disk.between(0.2, 3) * this.diskSlowness,
      fails: () => {
        const fails = this.diskFails;
        this.diskFails = false;
        return fails;
      },
      keptByChance: () => disk.chance(0.5),
      logScale: plan.logScale,
    });
    this.disk.onDurable = (records) => {
      for (const record of records) {
        this.#judge(() => this.operator.judgeRecord(record));
        this.#judge(() => this.durable.fold(record));
        this.#judge(() => this.#allRecords.replay(record));
      }
    };
    this.receiver = new SimulatedReceiver(draw.of("receiver"), (requestId, heard) => this.#judge(() => invariants.callbacksAreDurable(requestId, heard, this.durable.facts)));
    this.machine = new SimulatedRouter({
      ...plan.settings,
      time,
      disk: this.disk,
      clockRate: draw.between(0.999, 1.001),
      sender: this.receiver.sender,
      onStep: (event, nowMs, records) => this.#onStep(event, nowMs, records),
      onAppend: (records) => this.#onAppend(records),
      onStart: (router) => this.#onStart(router),
      onJournalFailure: () => {
        this.#tally("journal failure");
        this.note(() => "router   the journal has failed");
        this.time.after(0, null, () => this.crashRouter(false, 500));
      },
    });
    const network = draw.of("network");
    const clientNetwork = draw.of("client network");
    this.clientConduct = { lossShare: 0, delayMs: () => clientNetwork.between(0.1, this.networkDelayMs) };
    const delayMs = (): number => network.between(0.1, this.networkDelayMs);
    this.operator = new SimulatedOperator({ time, draw: draw.of("operator"), line: this.#line(draw.of("operator's line"), "operator") });
    this.#newNode = (nodeId, { gpus, instances }, path) =>
      new SimulatedNode({
        nodeId,
        gpus,
        instances,
        models: plan.faults.has("models") && instances === 0 ? ["m", "n"] : ["*"],
        time,
        draw: draw.of(path),
        link: { toRouter: new Path(delayMs), toNode: new Path(delayMs) },
        windowBytes: plan.windowBytes,
        executions: this.executions,
        conduct: this.conduct,
        mayRunTwice: (requestId) => this.#specOf(requestId)?.idempotent ?? true,
        router: this.machine.listener,
        onOrder: ({ action }) => this.#tally(`model ordered: ${action}`),
        onConnection: (connection) => this.#onConnection(nodeId, connection),
        onRestart: (restartId, gpuIds, process) => this.#onRestart(restartId, gpuIds, process),
      });
    this.nodes = plan.nodes.map((shape, index) => this.#newNode(`node-${index}`, shape, `node-${index}`));
  }

  #line(draw: Draw, caller: string): CallerLine {
    return new CallerLine({ time: this.time, draw, machine: this.machine, conduct: this.clientConduct, caller, note: (text) => this.note(text) });
  }

  #specOf(requestId: string): RequestSpec | undefined {
    return this.#specs.get(requestId);
  }

  /** Another machine with the name of a node; it is not started yet, and gone when everything has healed. */
  replacementOf(node: SimulatedNode): SimulatedNode {
    const shape = this.#plan.nodes[this.nodes.indexOf(node)]!;
    const replacement = this.#newNode(node.nodeId, shape, `other ${node.nodeId}`);
    this.#replacements.push(replacement);
    return replacement;
  }

  note(text: () => string): void {
    this.#trace.note(text);
  }

  later(ms: number, run: () => void): void {
    this.time.after(ms, null, run);
  }

  crashRouter(silently: boolean, downMs: number): void {
    this.note(() => `fault    the router is killed for ${Math.round(downMs)} ms`);
    this.machine.kill(silently);
    this.later(downMs, () => this.machine.start());
  }

  restartRouter(downMs: number): void {
    this.note(() => "fault    the router is stopped");
    this.machine.stop();
    this.later(3_000 + downMs, () => this.machine.start());
  }

  pause(process: SimulatedProcess | null, ms: number, timersFirst: boolean): void {
    if (!process || process.paused) return;
    this.note(() => `fault    ${process.name} stands still for ${Math.round(ms)} ms`);
    this.time.pause(process);
    this.later(ms, () => {
      if (!process.paused) return;
      this.note(() => `fault    ${process.name} goes on`);
      this.time.resume(process, timersFirst);
    });
  }

  /** The whole life of the world. Throws a Violation, or what the production code throws. */
  async live(): Promise<void> {
    this.machine.start();
    for (const node of this.nodes) this.later(this.#draw.between(0, 300), () => node.start());
    this.#askForWork();
    this.#planFaults();
    this.later(FAULTS_MS, () => this.#heal());
    await this.#run(FAULTS_MS + 1, () => false);
    await this.#run(FAULTS_MS + HEALED_WITHIN_MS, () => this.clients.every(({ done }) => done));
    this.#judgeEnds();
    await this.#run(this.time.nowMs + QUIET_WITHIN_MS, () => this.#quiet());
    if (!this.#quiet()) throw new Violation("everythingEnds", `${this.executions.size} attempts still run, ${this.#engine?.state.requests.size} requests still live, ${this.disk.outbox.pending.size} callbacks are not told${this.#known.cordons.anyRestart ? ", a restart is under way" : ""}${this.operator.idle ? "" : ", the operator is not heard"}, long after the last end was seen`);
    if (this.#engine) quotaInvariants.quotasAreGivenBack(this.#engine);
    if (this.receiver.repeats > 0) this.#tally("callback repeated");
    for (const { told } of this.clients) invariants.callbacksAreTold(told, this.receiver.heard.get(told.spec.requestId) ?? []);
    await this.#beginAgain();
  }

  /** One more life of the router: what has ended is still known, with the same end. */
  async #beginAgain(): Promise<void> {
    this.machine.kill(false);
    this.machine.start();
    await this.#run(this.time.nowMs + 100, () => this.machine.router !== null);
    for (const client of this.clients) client.ask();
    await this.#run(this.time.nowMs + 1_000, () => false);
    for (const { told } of this.clients) invariants.oneEndPerRequest(told);
  }

  #tally(what: string): void {
    this.happened.set(what, (this.happened.get(what) ?? 0) + 1);
  }

  #run(untilMs: number, done: () => boolean): Promise<void> {
    return this.time.run(untilMs, () => this.#afterEvent(), done);
  }

  #askForWork(): void {
    const draw = this.#draw.of("callers");
    const gpuIds = this.nodes.flatMap((node) => node.gpuIds);
    const times = Array.from({ length: this.#plan.requests }, () => draw.between(0, FAULTS_MS * 0.8)).sort((a, b) => a - b);
    for (const [index, atMs] of times.entries()) {
      const own = draw.of(`r${index}`);
      const spec = specOf(index, this.#plan, gpuIds, draw);
      this.#specs.set(spec.requestId, spec);
      const client = new SimulatedClient(spec, {
        time: this.time,
        draw: own,
        line: this.#line(own, "client"),
        onAnswer: (requestId, answer) => this.#onAnswer(requestId, "view" in answer ? answer.view : null),
        onOutcome: (asked, outcome) => this.#onOutcome(asked, outcome),
        isPromised: (requestId) => this.#promised.has(requestId),
        onLost: (requestId) => this.#onLost(requestId),
      });
      this.clients.push(client);
      this.later(atMs, () => client.begin());
      if (draw.chance(0.3)) this.later(atMs + draw.between(5, 500), () => client.watch());
      if (draw.chance(0.08)) this.later(atMs + draw.between(0, 1_500), () => client.cancel());
      if (draw.chance(0.05)) this.later(atMs + draw.between(0, 5_000), () => client.clash());
    }
  }

  #planFaults(): void {
    for (const { name, strikes, strike } of [...FAULTS, ...ACTS]) {
      if (!this.#plan.faults.has(name)) continue;
      const draw = this.#draw.of(name);
      if (strikes === 0) strike(this, draw);
      for (let count = strikes > 0 ? draw.whole(1, strikes) : 0; count > 0; count -= 1) this.later(draw.between(200, FAULTS_MS), () => this.#healing || strike(this, draw));
    }
  }

  /** From here on nothing goes wrong any more. */
  #heal(): void {
    this.note(() => "world    everything heals");
    this.#healing = true;
    this.networkDelayMs = 8;
    this.diskSlowness = 1;
    this.diskFails = false;
    this.disk.freeShare = 1;
    this.conduct.badShare = 0;
    this.conduct.hungShare = 0;
    this.conduct.badRestartShare = 0;
    this.clientConduct.lossShare = 0;
    this.operator.putAllBack();
    if (this.#hasQuotas) {
      for (const userId of USERS) this.operator.setQuota("user", userId, QUOTA_IN_THE_END);
      for (const teamId of TEAMS) this.operator.setQuota("team", teamId, QUOTA_IN_THE_END);
    }
    this.receiver.conduct.deafShare = 0;
    for (const node of this.nodes) {
      node.repairGpus();
      node.endHungWork();
      node.link.toRouter.blocked = false;
      node.link.toNode.blocked = false;
    }
    const supervise = (): void => {
      for (const replacement of this.#replacements) replacement.kill(false);
      this.machine.start();
      for (const node of this.nodes) {
        node.start();
        node.loadModels();
      }
      this.later(SUPERVISED_MS, supervise);
    };
    supervise();
    for (const process of [this.machine.process, ...this.nodes.map((node) => node.process)]) if (process?.paused) this.time.resume(process, false);
  }

  get #hasQuotas(): boolean {
    return this.#plan.settings.core.quota.mode === "enforce";
  }

  /** Restarts are run once each, and unless they are forced, when nothing makes headway on the GPU but what was given up. */
  #onRestart(restartId: string, gpuIds: readonly string[], process: SimulatedProcess): void {
    this.#tally("GPU restarted");
    this.note(() => `restart  ${gpuIds.join(", ")} by ${restartId}`);
    const times = (this.#restarts.get(restartId) ?? 0) + 1;
    this.#restarts.set(restartId, times);
    this.#judge(() => invariants.restartsAreRunOnce(restartId, times));
    this.#judge(() => invariants.restartsAreAwaited(restartId, this.#known.cordons.isRestartOver(restartId)));
    if (!this.#known.cordons.isForced(restartId)) this.#judge(() => invariants.restartsFindNothing(restartId, gpuIds, this.executions.running(this.time.nowMs).filter((one) => one.process === process), this.#known.facts));
  }

  #onConnection(nodeId: string, connection: Connection): void {
    this.machine.connections.add(connection);
    connection.tap = (message) => this.#onSent(nodeId, message);
  }

  #onSent(nodeId: string, message: ConnectResponse): void {
    this.#judge(() => {
      invariants.wordsToAgentsAreDurable(nodeId, message, this.sent, this.durable.facts);
      invariants.oneLiveAttemptPerRequest(nodeId, message, this.sent, this.durable.facts);
      invariants.savedWorkGoesOn(message, this.durable.facts, (requestId) => this.#specOf(requestId)?.wishes?.checkpoint ?? false);
    });
  }

  /** Production code that stands around a check shall not swallow what it throws. */
  #judge(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#broken ??= error;
    }
  }

  /** A router has recovered: from here on its records continue what the disk has. */
  #onStart(router: Router): void {
    const { core } = this.#plan.settings;
    this.#engine = router.engine;
    this.#replayed = new Engine(core, this.disk.snapshot && decodeSnapshot(this.disk.snapshot));
    for (const key of [...this.disk.frames.keys()].sort((a, b) => a - b)) for (const record of decodeFrame(this.disk.frames.get(key)!, "a frame")) this.#replayed.replay(record);
    this.#tally(this.disk.snapshot ? "recovery from a snapshot" : "recovery from records");
    this.note(() => `router   starts, epoch ${router.epoch}, ${router.liveRequests} live`);
    this.#judge(() => invariants.recordsGiveTheState(this.#replayed ?? router.engine, this.#allRecords, true));
    this.#judge(() => this.#checkNothingLost(router.engine));
    this.#judge(() => this.operator.judge(router.engine));
    if (this.#hasQuotas) this.#judge(() => quotaInvariants.quotasCountWhatIsHeld(router.engine, this.#known.quotas, this.#nowMs));
  }

  #onStep(event: Event, nowMs: number, records: readonly Record[]): void {
    this.engineSteps += 1;
    this.#nowMs = nowMs;
    this.#stepped = true;
    this.#trace.stepped(event, records);
    // What an earlier life had recorded counts as far as it is on the disk.
    if (event.kind === "take_over") {
      this.#endedNow.clear();
      this.#known = this.durable.copy();
    }
    for (const record of records) {
      this.#judge(() => this.#known.fold(record));
      if (record.kind === "ended") this.#endedNow.add(record.requestId);
      this.#tally(record.kind === "ended" ? `ended: ${record.error?.code ?? record.phase}` : record.kind === "attempt_failed" ? `attempt failed: ${record.reason.split(":")[0]}` : record.kind);
    }
    if (event.kind === "attempt_ended" && records.length === 0) this.#tally("late result");
    if (event.kind === "attempt_ended" && event.end.outcome === "fenced") this.#tally("fenced");
    const engine = this.#engine;
    if (!engine || event.kind === "take_over") return;
    this.#judge(() => {
      if (records.length > 0) invariants.noGpuIsOverCommitted(engine, this.#plan.settings.core);
      if (records.length > 0 && this.#hasQuotas) quotaInvariants.quotasCountWhatIsHeld(engine, this.#known.quotas, nowMs);
      if (event.kind !== "tick") return;
      invariants.noIdleGpuWhileSomebodyWaits(engine, nowMs);
      invariants.waitingIsBounded(engine, nowMs);
      if (this.#hasQuotas) quotaInvariants.nobodyIsHeldInVain(engine, this.#known.quotas, nowMs);
      this.#known.cordons.judgeDrains(engine, nowMs);
      this.operator.judge(engine);
    });
  }

  #onAppend(records: readonly Record[]): void {
    const replayed = this.#replayed;
    const engine = this.#engine;
    if (!replayed || !engine) return;
    this.#batches += 1;
    this.#judge(() => {
      for (const record of records) replayed.replay(record);
      invariants.recordsGiveTheState(engine, replayed, this.#batches % DEEP_EVERY === 0);
    });
  }

  #onOutcome(spec: RequestSpec, outcome: RouteOutcome): void {
    this.#tally(`submit: ${outcome.kind}`);
    const engine = this.#engine;
    if (!("over" in outcome) || !engine) return;
    this.#tally(`refused: ${outcome.over.name}`);
    this.#judge(() => this.#known.quotas.judgeRefusal(outcome.over, spec, this.#nowMs));
  }

  #onAnswer(requestId: string, view: RequestView | null): void {
    this.#judge(() => {
      invariants.wordsToCallersAreDurable(requestId, view, this.durable.facts);
      if (view) invariants.resultsAreTrue(view, this.executions);
    });
    this.#promised.add(requestId);
  }

  #onLost(requestId: string): void {
    this.#broken ??= new Violation("nothingAcknowledgedIsLost", `${requestId} was acknowledged, and the router says that it does not know it`);
  }

  #afterEvent(): void {
    if (this.#broken !== null) throw this.#broken;
    invariants.mustNotRunTwiceRunsOnce(this.executions, this.time.nowMs);
    this.#checkWhatRunsIsCounted();
    if (!this.#stepped || !this.#engine) return;
    this.#stepped = false;
    invariants.ledgerIsWhatIsLive(this.#engine);
    this.#checkNothingLost(this.#engine);
  }

  #checkWhatRunsIsCounted(): void {
    if (!this.#hasQuotas || !this.#engine || !this.machine.router || this.executions.begun === this.#begunSeen) return;
    this.#begunSeen = this.executions.begun;
    const userOf = (requestId: string): string => this.#specOf(requestId)?.userId ?? "";
    quotaInvariants.whatRunsIsCounted(this.#engine, this.executions, this.#known.facts, userOf, this.time.nowMs);
  }

  #checkNothingLost(engine: Engine): void {
    invariants.nothingAcknowledgedIsLost(this.#promised, engine, (requestId) => this.#endedNow.has(requestId) || this.durable.facts.ended.has(requestId));
  }

  #judgeEnds(): void {
    for (const { told } of this.clients) {
      invariants.oneEndPerRequest(told);
      invariants.idsAreKept(told);
      if (told.ends.length > 0) continue;
      const live = this.#engine?.state.requests.get(told.spec.requestId);
      throw new Violation("everythingEnds", `${told.spec.requestId} (${told.acknowledged ? "acknowledged" : "never acknowledged"}) is ${live?.phase ?? "not live"} ${HEALED_WITHIN_MS / 1_000} s after everything healed`);
    }
    for (const { told } of this.clients) if (!isTerminal(told.ends[0]!.phase)) throw new Violation("oneEndPerRequest", told.spec.requestId);
  }

  #quiet(): boolean {
    return this.executions.size === 0 && (this.#engine?.state.requests.size ?? 0) === 0 && this.nodes.every(({ agent }) => agent?.running === 0) && this.disk.outbox.pending.size === 0 && this.operator.idle && !this.#known.cordons.anyRestart;
  }
}
