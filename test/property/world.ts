// Runs a plan against an engine and checks, after every step, all that must hold. A mutant hooks in here to show that the
// checks would see it.
import { assert } from "../../src/lib/assert.js";
import { Engine } from "../../src/core/engine.js";
import type { Event, Step } from "../../src/core/events.js";
import type { GpuInventory, RunnerInfo } from "../../src/core/model/gpu.js";
import type { AttemptRef, NodeId, UserId } from "../../src/core/model/ids.js";
import { targetKey, type GpuRestart, type RestartOutcome } from "../../src/core/model/maintenance.js";
import { wishesOf } from "../../src/core/model/request.js";
import type { Record } from "../../src/core/records.js";
import { DEFAULT_CORE_SETTINGS, type CoreSettings } from "../../src/core/settings.js";
import { takeSnapshot, type Snapshot } from "../../src/core/snapshot.js";
import { end, gpuId, inventory, modelId, nodeId, ref, requestId, runner, sample, settings, spec, wishes } from "../unit/core/build.js";
import { Oracle } from "./oracle.js";
import { NODES, type Command } from "./plan.js";
import { Watch } from "./watch.js";

const BY = { name: "operator", address: "" };

/** What is broken on purpose; nothing by default. */
export interface Mutant {
  /** Settings that the engine gets instead of those that the oracle holds it to. */
  readonly settings?: Partial<CoreSettings>;
  readonly onEngine?: (engine: Engine) => void;
  readonly onEvent?: (event: Event, engine: Engine) => Event;
  readonly onStep?: (step: Step) => Step;
  /** Changes what the journal keeps of a step. */
  readonly onJournal?: (records: readonly Record[]) => readonly Record[];
  readonly onSnapshot?: (snapshot: Snapshot) => Snapshot;
}

const PLAIN = settings({
  maxConcurrentTasksPerGpu: 2,
  maxWaitMs: 15_000,
  maxRetries: 2,
  gpuCooldownMs: 20_000,
  // A plan ends within a few minutes: what falls ill comes back soon.
  health: { ...DEFAULT_CORE_SETTINGS.health, maxCooldownMs: 40_000, recoveryMs: 1_000, probePatienceMs: 3_000, slowStartMs: 4_000 },
  maxQueuedRequests: 12,
  forgetAfterMs: 3_000_000,
  maxQueuedBytes: 200,
  preemption: { enabled: true, priorityGap: 2, minRunMs: 4_000, nodeIntervalMs: 50, patienceMs: 100 },
});

/** Promises are kept by more than slots: there are enough of these. */
const WITH_TOKENS = { ...PLAIN, maxConcurrentTasksPerGpu: 6, maxQueuedRequests: 30, maxQueuedBytes: 600, requestTimeoutMs: 0 };

const GPUS: readonly GpuInventory[] = [
  inventory("g0", { memoryTotalMib: 8_000, computeCapability: 7_000 }),
  inventory("g1", { memoryTotalMib: 8_000, computeCapability: 8_010 }),
  inventory("g2", { memoryTotalMib: 16_000, computeCapability: 8_010 }),
  inventory("g3", { memoryTotalMib: 16_000, computeCapability: 9_000 }),
  inventory("g4", { memoryTotalMib: 16_000, computeCapability: 9_000 }),
  inventory("g5", { memoryTotalMib: 1_000, computeCapability: 9_000 }),
];
/** Reported by whichever node is told to: it moves. */
const MOVING_GPU = inventory("moving", { memoryTotalMib: 16_000, computeCapability: 9_000 });

const RUNNERS: readonly (readonly RunnerInfo[])[] = [
  [runner()],
  [runner({ name: "a-only", models: [modelId("a")] })],
  [runner({ name: "b-on-g3", models: [modelId("b")], gpuIds: [gpuId("g3")] }), runner({ name: "a", models: [modelId("a")] })],
  [],
  loading("a"),
  loading("b"),
];

/** A runner for each GPU, which can load two models and has one of them. */
function loading(model: string): readonly RunnerInfo[] {
  const loadable = ["a", "b"].map((each) => ({ modelId: modelId(each), memoryMib: 5_000, loadMs: 5_000, kvTokenBytes: 65_536 }));
  return [...GPUS, MOVING_GPU].map(({ gpuId: id }) => runner({ name: `runner-${id}`, models: [modelId(model)], gpuIds: [id], loadable, kvCapacityTokens: 6_000 }));
}

interface Dispatch {
  readonly nodeId: NodeId;
  readonly ref: AttemptRef;
  acknowledged: boolean;
}

class World {
  readonly oracle: Oracle;
  readonly happened = new Map<string, number>();
  readonly #mutant: Mutant;
  readonly #limits: CoreSettings;
  readonly #watch: Watch;
  #engine: Engine;
  /** The same life, come back the other way at the last restart. */
  #twin: Engine | null = null;
  /** Folds the records as they come and does nothing else: a standby. */
  #standby: Engine;
  readonly #journal: Record[] = [];
  readonly #dispatches: Dispatch[] = [];
  /** Attempts that agents were told to stop. */
  readonly #told: { readonly nodeId: NodeId; readonly ref: AttemptRef }[] = [];
  readonly #requestIds: string[] = [];
  /** What operators have taken out, by the records. */
  readonly #out = new Set<string>();
  #nowMs = 1_000_000;

  constructor(limits: CoreSettings, mutant: Mutant) {
    this.#mutant = mutant;
    this.#limits = limits;
    this.oracle = new Oracle(limits);
    this.#watch = new Watch(limits);
    this.#engine = this.#newEngine(null);
    this.#standby = new Engine(limits);
    this.step({ kind: "take_over", epoch: 1 });
  }

  run(command: Command): void {
    this.#nowMs += 7;
    switch (command.do) {
      case "submit":
        this.#requestIds.push(`r${this.#requestIds.length}`);
        this.step({ kind: "submit", spec: this.#spec(this.#requestIds.at(-1)!, command) });
        return;
      case "resubmit": {
        const id = this.#pick(this.#requestIds, command.pick);
        const life = id === undefined ? undefined : this.oracle.lives.get(id);
        if (life) this.step({ kind: "submit", spec: command.same ? life.spec : { ...life.spec, contentHash: "other" } });
        return;
      }
      case "cancel": {
        const id = this.#pick(this.#requestIds, command.pick);
        if (id !== undefined) this.step({ kind: "cancel", requestId: requestId(id), reason: "not wanted" });
        return;
      }
      case "connect":
        this.#connect(command.node, command.gpus, command.runners, this.#held(command.node, command.held), command.instance);
        return;
      case "disconnect":
        this.step({ kind: "node_disconnected", nodeId: nodeOf(command.node), ...(command.silentMs !== undefined && { silentMs: command.silentMs }) });
        return;
      case "stall":
        this.#nowMs += command.ms;
        this.step({ kind: "router_stalled", ms: command.ms });
        return;
      case "runners":
        this.step({ kind: "runners_changed", nodeId: nodeOf(command.node), runners: RUNNERS[command.runners]! });
        return;
      case "start":
      case "answer":
      case "progress": {
        const dispatch = this.#pick(this.#dispatches, command.pick);
        if (!dispatch) return;
        const { nodeId: at, ref: attempt } = dispatch;
        if (command.do === "progress") this.step({ kind: "attempt_progress", nodeId: at, ref: attempt, fraction: 0.5 });
        else this.step({ kind: command.do === "start" ? "attempt_started" : "attempt_answered", nodeId: at, ref: attempt });
        return;
      }
      case "end": {
        const dispatch = this.#pick(this.#dispatches, command.pick);
        if (dispatch) this.#end(command.foreign ? nodeOf(0) : dispatch.nodeId, dispatch.ref, command.outcome);
        return;
      }
      case "obey": {
        const told = this.#pick(this.#told.filter(({ nodeId: at, ref: attempt }) => this.oracle.isPresent(at, attempt)), command.pick);
        if (told) this.#end(told.nodeId, told.ref, "cancelled");
        return;
      }
      case "telemetry": {
        const used = (gpu: GpuInventory): number => gpu.memoryTotalMib * command.usedShare;
        const of = (gpu: GpuInventory) => ({
          sample: sample(gpu.gpuId, { memoryUsedMib: used(gpu), gpuUtilizationPercent: command.busyPercent, temperatureCelsius: command.temperatureCelsius }),
          ageMs: command.ageMs,
        });
        this.step({ kind: "telemetry", nodeId: nodeOf(command.node), samples: [...gpusOf(command.node, 3), MOVING_GPU].map(of) });
        return;
      }
      case "gpu_lost": {
        const gpu = this.#pick([...GPUS, MOVING_GPU], command.pick)!;
        for (let node = 0; node < NODES; node += 1) this.step({ kind: "gpu_lost", nodeId: nodeOf(node), gpuId: gpu.gpuId, reason: "Xid 79" });
        return;
      }
      case "maintain": {
        const gpu = this.#pick([...GPUS, MOVING_GPU], command.pick)!;
        const target = command.node ? ({ kind: "node", nodeId: nodeOf(command.pick % NODES) } as const) : ({ kind: "gpu", gpuId: gpu.gpuId } as const);
        this.step({ kind: "set_maintenance", target, on: command.on, reason: "", by: BY, untilMs: 0, drainByMs: 0 });
        return;
      }
      case "restart_gpu":
        this.step({ kind: "restart_gpu", gpuId: this.#pick([...GPUS, MOVING_GPU], command.pick)!.gpuId, force: false, reason: "", by: BY, drainByMs: 0 });
        return;
      case "restarted": {
        const restart = this.#pick(this.#engine.state.maintenance.restarts, command.pick);
        if (restart) this.#restarted(restart, command.outcome);
        return;
      }
      case "tick":
        this.#tick(command.ms);
        return;
      case "restart":
        this.#restart(command.as);
        return;
    }
  }

  /** All nodes come back healthy and do what they are given: everything that can end must end. */
  settle(): void {
    const everything = 7;
    for (let node = 0; node < NODES; node += 1) this.#connect(node, everything, 0, this.#held(node, "truth"));
    // A sample of the very millisecond in which a GPU was lost may be older than that.
    this.#tick(1);
    const cool = [...GPUS, MOVING_GPU].map((gpu) => ({ sample: sample(gpu.gpuId), ageMs: 0 }));
    for (let node = 0; node < NODES; node += 1) this.step({ kind: "telemetry", nodeId: nodeOf(node), samples: cool });
    for (const { target } of this.#engine.state.maintenance.windows) this.step({ kind: "set_maintenance", target, on: false, reason: "", by: BY, untilMs: 0, drainByMs: 0 });
    this.#tick(this.#limits.health.maxCooldownMs);
    for (let round = 0; round < 60 && this.oracle.lives.size > 0; round += 1) {
      const present = this.#dispatches.filter(({ nodeId: at, ref: attempt }) => this.oracle.isPresent(at, attempt));
      for (const { nodeId: at, ref: attempt } of present) {
        this.step({ kind: "attempt_started", nodeId: at, ref: attempt });
        this.#end(at, attempt, "succeeded");
      }
      for (const restart of this.#engine.state.maintenance.restarts) if (restart.state === "ordered") this.#restarted(restart, "succeeded");
      this.#tick(1_000);
    }
    for (const [id, life] of this.oracle.lives) {
      const { requirements, specificGpuId } = life.spec;
      const fits = (gpu: GpuInventory): boolean =>
        (specificGpuId === "" || specificGpuId === gpu.gpuId) &&
        gpu.computeCapability >= requirements.minComputeCapability &&
        gpu.memoryTotalMib * this.#limits.memoryThreshold >= requirements.memoryMib;
      // The one that moves is where it was reported last.
      const nodes = Array.from({ length: NODES }, (_, node) => gpusOf(node, node === NODES - 1 ? everything : 3));
      const possible = nodes.some((gpus) => gpus.filter(fits).length >= wishesOf(life.spec).gpus);
      assert(!possible, `request ${id} can be served and must have ended`);
      this.step({ kind: "cancel", requestId: requestId(id), reason: "it can never run" });
    }
    assert(this.oracle.lives.size === 0, "every accepted request has ended");
    assert(this.#engine.state.requests.size === 0 && this.#engine.state.queue.size === 0, "nothing is left behind");
    this.#checkReplay();
  }

  /** By the records alone: nothing is sent where an operator has said that nothing goes. */
  #judgeMaintenance(step: Step): void {
    for (const record of step.records) {
      if (record.kind === "maintenance_set" && record.on) this.#out.add(targetKey(record.target));
      if (record.kind === "maintenance_set" && !record.on) this.#out.delete(targetKey(record.target));
      if (record.kind === "gpu_restart_requested") this.#out.add(`restart ${record.gpuId}`);
      if (record.kind === "gpu_restart_ended") this.#out.delete(`restart ${record.gpuId}`);
    }
    for (const effect of step.effects) {
      if (effect.kind !== "dispatch") continue;
      const places = [`node ${effect.nodeId}`, ...(effect.gpuIds ?? [effect.gpuId]).flatMap((id) => [`gpu ${id}`, `restart ${id}`])];
      assert(!places.some((place) => this.#out.has(place)), "nothing is sent to what an operator has taken out");
    }
  }

  /** The agent of each node says so; only that of the GPU's own is believed. */
  #restarted({ restartId }: GpuRestart, outcome: RestartOutcome): void {
    for (let node = 0; node < NODES; node += 1) this.step({ kind: "gpu_restarted", nodeId: nodeOf(node), restartId, outcome, message: "" });
  }

  step(event: Event): Step {
    const { onEvent, onStep, onJournal } = this.#mutant;
    const given = onEvent ? onEvent(event, this.#engine) : event;
    this.#watch.before(this.#engine.state, this.#nowMs);
    // Looking brings what is predicted up to date; the twin must not be behind.
    this.#twin?.state.fleet.work.follow(this.#nowMs);
    const stepped = this.#engine.step(given, this.#nowMs);
    const step = onStep ? onStep(stepped) : stepped;
    this.oracle.judge(event, step, this.#nowMs);
    for (const effect of step.effects) this.#note(effect);
    this.#judgeMaintenance(step);
    this.#tally(event, step);

    const recorded = onJournal ? onJournal(step.records) : step.records;
    for (const record of recorded) this.#standby.replay(record);
    this.#journal.push(...recorded);
    if (this.#twin) {
      const twin = this.#twin.step(given, this.#nowMs);
      assert(JSON.stringify(twin.records) === JSON.stringify(stepped.records), "an engine from a snapshot and one from a replay record the same");
      assert(JSON.stringify(twin.effects) === JSON.stringify(stepped.effects), "an engine from a snapshot and one from a replay do the same");
    }
    this.#check(event.kind === "tick");
    for (const what of this.#watch.after(this.#engine.state, event, step, this.#nowMs)) this.happened.set(what, (this.happened.get(what) ?? 0) + 1);
    return step;
  }

  #check(ticked: boolean): void {
    const { state } = this.#engine;
    state.check();
    const now = durable(state);
    assert(state.digest() === this.#standby.state.digest(), "a standby has the same digest");
    assert(now === durable(this.#standby.state), "a standby has the same state");
    const restored = new Engine(this.#limits, this.#snapshot());
    assert(now === durable(restored.state), "a snapshot restores the same state");
    restored.state.check();
    // What GPUs are kept from hangs on the time too: it is looked at again with every tick.
    if (state.fleet.reservations.size > 0 && !ticked) return;
    for (const { spec: waiting, estimate } of state.queue.heads()) {
      // Promises hang on the time that has passed since it came, which Explain knows nothing of: the watch looks after these.
      if (estimate.outputTokens !== undefined) continue;
      const fits = this.#engine.explain(waiting, this.#nowMs).candidates[0];
      assert(fits === undefined, `request ${waiting.requestId} waits though ${fits?.gpuId} could take it`);
    }
  }

  #checkReplay(): void {
    const replayed = this.#replayed();
    assert(durable(replayed.state) === durable(this.#engine.state), "a replay of all records gives the same state");
  }

  #restart(as: "snapshot" | "replay"): void {
    const fromSnapshot = this.#newEngine(this.#snapshot());
    const fromReplay = this.#replayed();
    this.#engine = as === "snapshot" ? fromSnapshot : fromReplay;
    // What was learned of the speed of GPUs is in no snapshot: they may decide differently then.
    const learned = this.#journal.some((record) => record.kind === "placed" && record.decision.estimate.outputTokens !== undefined);
    this.#twin = learned ? null : as === "snapshot" ? fromReplay : fromSnapshot;
    this.oracle.restarted(this.#nowMs);
    this.step({ kind: "take_over", epoch: this.#engine.state.epoch + 1 });
    this.#tick(0);
  }

  #replayed(): Engine {
    const engine = this.#newEngine(null);
    for (const record of this.#journal) engine.replay(record);
    return engine;
  }

  #newEngine(snapshot: Snapshot | null): Engine {
    const engine = new Engine({ ...this.#limits, ...this.#mutant.settings }, snapshot);
    this.#mutant.onEngine?.(engine);
    return engine;
  }

  #snapshot(): Snapshot {
    const snapshot = takeSnapshot(this.#engine.state);
    return this.#mutant.onSnapshot ? this.#mutant.onSnapshot(snapshot) : snapshot;
  }

  #tick(ms: number): void {
    this.#nowMs += ms;
    this.step({ kind: "tick" });
  }

  #connect(node: number, gpus: number, runners: number, held: readonly AttemptRef[], instanceId = "instance"): void {
    this.step({ kind: "node_connected", nodeId: nodeOf(node), instanceId, gpus: gpusOf(node, gpus), runners: RUNNERS[runners]!, held, restartsGpus: true });
  }

  #end(at: NodeId, attempt: AttemptRef, outcome: Parameters<typeof end>[0]): void {
    const { inputTokens = 0, outputTokens = 0 } = this.oracle.lives.get(attempt.requestId)?.spec.requirements ?? {};
    const counted = inputTokens + outputTokens > 0;
    const statistics = { runMs: counted ? 50 + 15 * outputTokens : 20, firstOutputMs: counted ? 40 : 0, inputTokens, outputTokens, peakMemoryMib: 0 };
    this.step({ kind: "attempt_ended", nodeId: at, ref: attempt, end: end(outcome, { statistics }) });
  }

  #held(node: number, what: "truth" | "nothing" | "everything" | "rubbish"): AttemptRef[] {
    const here = this.#dispatches.filter((dispatch) => dispatch.nodeId === nodeOf(node));
    switch (what) {
      case "truth":
        return here.filter((dispatch) => !dispatch.acknowledged).map((dispatch) => dispatch.ref);
      case "nothing":
        return [];
      case "everything":
        return this.#dispatches.map((dispatch) => dispatch.ref);
      case "rubbish":
        return [ref("never-heard-of", 1), ...here.map((dispatch) => ref(dispatch.ref.requestId, dispatch.ref.attempt + 10))];
    }
  }

  #note(effect: Step["effects"][number]): void {
    if (effect.kind === "dispatch") this.#dispatches.push({ nodeId: effect.nodeId, ref: { requestId: effect.request.spec.requestId, attempt: effect.attempt }, acknowledged: false });
    if (effect.kind === "cancel_attempt") this.#told.push(effect);
    if (effect.kind !== "acknowledge") return;
    for (const dispatch of this.#dispatches) {
      if (dispatch.nodeId === effect.nodeId && dispatch.ref.requestId === effect.ref.requestId && dispatch.ref.attempt === effect.ref.attempt) dispatch.acknowledged = true;
    }
  }

  #tally(event: Event, step: Step): void {
    const add = (what: string): void => void this.happened.set(what, (this.happened.get(what) ?? 0) + 1);
    for (const record of step.records) {
      add(record.kind);
      if (record.kind === "attempt_failed" && record.preempted) add("preempted");
      if (record.kind === "ended" && record.error) add(`error ${record.error.code}`);
    }
    if (step.submitted) add(`submit ${step.submitted.kind}`);
    if (event.kind === "attempt_ended" && step.records.length === 0) add("late result");
    for (const effect of step.effects) if (effect.kind === "order_model") add(effect.kind);
  }

  #spec(id: string, command: Extract<Command, { do: "submit" }>) {
    const { priority, model, memoryMib, timeoutMs, gpu, capability, strategy, type, gpus, user = "u", tokens: [inputTokens, outputTokens] = [0, 0] } = command;
    const { firstOutputMs = 0, totalMs = 0, whenLate = "demote", preemptible = false, checkpoint = false, idempotent = true, handling } = command;
    const wished = gpus > 1 || firstOutputMs > 0 || totalMs > 0 || preemptible;
    const wishedFor = wished ? { wishes: wishes({ gpus, firstOutputMs, totalMs, whenLate, preemptible, checkpoint }) } : {};
    const requirements = { memoryMib, minComputeCapability: capability, inputTokens, outputTokens };
    return spec(id, { userId: user as UserId, priority, model, timeoutMs, gpu, strategy, type, idempotent, ...wishedFor, ...(handling && { handling }), requirements, payload: new Uint8Array(20) });
  }

  #pick<T>(from: readonly T[], pick: number): T | undefined {
    return from[pick % Math.max(1, from.length)];
  }
}

function nodeOf(node: number): NodeId {
  return nodeId(`n${node}`);
}

/** Bit 0 and 1: the node's own two; bit 2: the one that moves. */
function gpusOf(node: number, mask: number): GpuInventory[] {
  const all = [GPUS[2 * node]!, GPUS[2 * node + 1]!, MOVING_GPU];
  return all.filter((_, bit) => (mask >> bit) & 1);
}

/** The durable half of a state as text; a retry that is due already counts as waiting, progress is not durable. */
function durable(state: Engine["state"]): string {
  const { requests, ...rest } = takeSnapshot(state);
  const lives = requests.map(({ request, reservedMib, waiting }) => ({
    request: { ...request, progress: 0 },
    reservedMib,
    waiting: waiting && { estimate: waiting.estimate, avoidGpuId: waiting.avoidGpuId },
  }));
  return JSON.stringify({ ...rest, lives });
}

/** Throws at the first thing that does not hold; returns how often what happened. */
export function runPlan(plan: readonly Command[], mutant: Mutant = {}): ReadonlyMap<string, number> {
  const tokens = plan.some((command) => command.do === "submit" && command.tokens !== undefined);
  const world = new World(tokens ? WITH_TOKENS : PLAIN, mutant);
  for (const command of plan) world.run(command);
  world.settle();
  return world.happened;
}
