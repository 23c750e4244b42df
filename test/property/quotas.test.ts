// Quotas under random event lists: no limit is ever exceeded by what is accepted or placed, across restarts and other attempts; what
// has room does not wait; the numbers are those of the records.
// Repeat a failure: GPU_ROUTER_PROPERTY_SEED=<seed> npm test -- test/property/quotas.
import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import { assert } from "../../src/lib/assert.js";
import { Engine } from "../../src/core/engine.js";
import type { Event, Step } from "../../src/core/events.js";
import type { AttemptRef, UserId } from "../../src/core/model/ids.js";
import { NO_LIMITS, type QuotaMode, type QuotaOverride } from "../../src/core/model/quota.js";
import type { Record } from "../../src/core/records.js";
import { DEFAULT_CORE_SETTINGS, type CoreSettings } from "../../src/core/settings.js";
import { takeSnapshot } from "../../src/core/snapshot.js";
import { end, inventory, nodeId, requestId, runner, settings, spec, wishes } from "../unit/core/build.js";
import { nobodyIsHeldInVain, quotasAreGivenBack, quotasCountWhatIsHeld } from "../faults/simulated/quota-invariants.js";
import { QuotaOracle } from "../faults/simulated/quota-oracle.js";

const given = Number(process.env["GPU_ROUTER_PROPERTY_SEED"]);
const seed = Number.isInteger(given) && given !== 0 ? given : Date.now() % 0x7fffffff;
const runs = Number(process.env["GPU_ROUTER_PROPERTY_RUNS"] ?? 250);

const USERS = ["alice", "bob", "carol"];
const TEAMS = ["red", "blue"];
const PERIOD_MS = 3_600_000;
const NODES = 2;
const GPUS_PER_NODE = 2;

type Command =
  | { readonly do: "submit"; readonly user: number; readonly priority: 1 | 3 | 4 | 5; readonly model: "m" | "other"; readonly gpus: number; readonly bytes: number; readonly takesMs: number }
  | { readonly do: "end"; readonly pick: number; readonly outcome: "succeeded" | "failed" | "unavailable"; readonly started: boolean }
  | { readonly do: "cancel"; readonly pick: number }
  | { readonly do: "tick"; readonly ms: number }
  | { readonly do: "disconnect" | "connect"; readonly node: number; readonly keeps: boolean }
  | { readonly do: "set"; readonly user: number; readonly override: QuotaOverride }
  | { readonly do: "set_team"; readonly team: number; readonly override: QuotaOverride }
  | { readonly do: "restart"; readonly as: "snapshot" | "replay" };

const few = fc.integer({ min: 0, max: 3 });
const limits = fc.record(
  {
    concurrentRequests: few,
    gpus: few,
    priorityRequests: few,
    gpuTimeMs: fc.constantFrom(0, 5_000, 20_000),
    requestsPerMinute: fc.integer({ min: 0, max: 8 }),
    requestsPerDay: fc.constantFrom(0, 3, 8),
    queuedRequests: few,
    queuedBytes: fc.constantFrom(0, 30, 60),
    modelRequests: fc.constantFrom({}, { m: 1 }, { other: 2 }),
  },
  { requiredKeys: [] },
);
const user = fc.nat(USERS.length - 1);
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("submit" as const),
      user,
      priority: fc.constantFrom(1, 3, 4, 5),
      model: fc.constantFrom("m", "other"),
      gpus: fc.constantFrom(1, 1, 1, 2),
      bytes: fc.constantFrom(1, 10, 40),
      takesMs: fc.constantFrom(100, 2_000, 6_000),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("end" as const), pick: fc.nat(20), outcome: fc.constantFrom("succeeded", "succeeded", "failed", "unavailable"), started: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("cancel" as const), pick: fc.nat(20) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("tick" as const), ms: fc.constantFrom(50, 3_000, 30_000, 3_600_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("disconnect" as const, "connect" as const), node: fc.nat(NODES - 1), keeps: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("set" as const), user, override: fc.tuple(limits, fc.constantFrom("", "red", "red", "blue")).map(([set, team]) => (team === "" ? set : { ...set, team })) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("set_team" as const), team: fc.nat(TEAMS.length - 1), override: limits }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const), as: fc.constantFrom("snapshot", "replay") }) },
);
const plan = fc.record({ defaults: limits, commands: fc.array(command, { minLength: 5, maxLength: 90 }) });
type Plan = { readonly defaults: QuotaOverride; readonly commands: readonly Command[] };

/** Breaks an engine before its first step. */
type Mutant = (engine: Engine) => void;

class World {
  readonly #settings: CoreSettings;
  readonly #mutant: Mutant;
  readonly #journal: Record[] = [];
  #tickedAtMs = 0;
  readonly oracle: QuotaOracle;
  readonly happened = new Map<string, number>();
  #engine: Engine;
  #nowMs = 10 * 86_400_000 + 5_000;
  #sent = 0;

  constructor(defaults: QuotaOverride, mutant: Mutant, mode: QuotaMode = "enforce") {
    const quota = { ...DEFAULT_CORE_SETTINGS.quota, mode, defaults: { ...NO_LIMITS, ...defaults }, gpuTimePeriodMs: PERIOD_MS, checkIntervalMs: 50 };
    this.#settings = settings({ quota, requestTimeoutMs: 0, maxConcurrentTasksPerGpu: 3, maxRetries: 2, retryDelayMs: 500, gpuCooldownMs: 1_000, maxWaitMs: Number.POSITIVE_INFINITY });
    this.#mutant = mutant;
    this.oracle = new QuotaOracle(quota);
    this.#engine = this.#newEngine(null);
    this.step({ kind: "take_over", epoch: 1 });
    for (let node = 0; node < NODES; node += 1) this.#connect(node, true);
    for (const member of ["alice", "bob"]) this.step({ kind: "set_quota", subject: "user", subjectId: member, override: { ...defaults, team: "red" }, by: "", reason: "" });
  }

  run(commands: readonly Command[]): void {
    for (const one of commands) this.#run(one);
    for (const what of this.counted()) this.#tally(what);
    // A day passes, everything ends.
    for (let node = 0; node < NODES; node += 1) this.#connect(node, false);
    for (let round = 0; round < 400 && this.oracle.lives.size > 0; round += 1) {
      for (const [id, { gpus }] of this.oracle.lives) if (gpus.length > 0) this.#end(id, "succeeded", false);
      this.#tick(3_600_000);
      if (round > 100) for (const id of [...this.oracle.lives.keys()].slice(0, 1)) this.step({ kind: "cancel", requestId: requestId(id), reason: "it never fits its quota" });
    }
    assert(this.oracle.lives.size === 0, "every request has ended");
    quotasAreGivenBack(this.#engine);
  }

  #run(one: Command): void {
    const live = [...this.oracle.lives.keys()];
    switch (one.do) {
      case "submit": {
        const { priority, model, gpus, bytes, takesMs } = one;
        const several = gpus > 1 ? { wishes: wishes({ gpus }) } : {};
        this.#sent += 1;
        const asked = spec(`r${this.#sent}`, { userId: USERS[one.user] as UserId, priority, model, payload: new Uint8Array(bytes), requirements: { expectedDurationMs: takesMs }, ...several });
        const { submitted } = this.step({ kind: "submit", spec: asked });
        if (submitted && "over" in submitted) this.oracle.judgeRefusal(submitted.over, asked, this.#nowMs);
        this.#tally(submitted && "over" in submitted ? `${submitted.kind} ${submitted.over.name} ${submitted.over.subject}` : `submit ${submitted?.kind}`);
        return;
      }
      case "end": {
        const running = live.filter((id) => this.oracle.lives.get(id)!.gpus.length > 0);
        const id = running[one.pick % Math.max(1, running.length)];
        if (id !== undefined) this.#end(id, one.outcome, one.started);
        return;
      }
      case "cancel": {
        const id = live[one.pick % Math.max(1, live.length)];
        if (id !== undefined) this.step({ kind: "cancel", requestId: requestId(id), reason: "" });
        return;
      }
      case "tick":
        this.#tick(one.ms);
        return;
      case "disconnect":
        this.step({ kind: "node_disconnected", nodeId: nodeId(`n${one.node}`) });
        return;
      case "connect":
        this.#connect(one.node, one.keeps);
        return;
      case "set":
        this.step({ kind: "set_quota", subject: "user", subjectId: USERS[one.user]!, override: one.override, by: "", reason: "" });
        return;
      case "set_team":
        this.step({ kind: "set_quota", subject: "team", subjectId: TEAMS[one.team]!, override: one.override, by: "", reason: "" });
        return;
      case "restart": {
        const now = this.#told(this.#engine);
        const snapshot = takeSnapshot(this.#engine.state);
        const replayed = this.#newEngine(null);
        for (const record of this.#journal) replayed.replay(record);
        const restored = this.#newEngine(structuredClone(snapshot));
        assert(this.#told(restored) === now, "a snapshot restores what everybody has");
        assert(this.#told(replayed) === now, "a replay gives what everybody has");
        this.#engine = one.as === "snapshot" ? restored : replayed;
        this.step({ kind: "take_over", epoch: this.#engine.state.epoch + 1 });
        for (let node = 0; node < NODES; node += 1) this.#connect(node, true);
      }
    }
  }

  step(event: Event): Step {
    const step = this.#engine.step(event, this.#nowMs);
    this.#journal.push(...step.records);
    for (const record of step.records) {
      this.oracle.fold(record);
      this.#tally(record.kind);
    }
    this.#engine.state.check();
    quotasCountWhatIsHeld(this.#engine, this.oracle, this.#nowMs);
    this.#checkNobodyWaitsInVain();
    return step;
  }

  #checkNobodyWaitsInVain(): void {
    const { state } = this.#engine;
    // A new period is noticed with the next tick.
    if (Math.floor(this.#nowMs / PERIOD_MS) === Math.floor(this.#tickedAtMs / PERIOD_MS)) nobodyIsHeldInVain(this.#engine, this.oracle, this.#nowMs);
    if (state.fleet.reservations.size > 0) return;
    for (const { spec: waiting, phase } of state.requests.values()) {
      if (phase !== "queued" || !state.queue.get(waiting.requestId)) continue;
      const [fits] = this.#engine.explain(waiting, this.#nowMs).candidates;
      assert(fits === undefined, `request ${waiting.requestId} waits though ${fits?.gpuId} could take it`);
    }
  }

  #end(id: string, outcome: "succeeded" | "failed" | "unavailable", started: boolean): void {
    const request = this.#engine.state.requests.get(requestId(id));
    if (!request || request.nodeId === "") return;
    const ref: AttemptRef = { requestId: request.spec.requestId, attempt: request.attempt };
    if (started) {
      this.step({ kind: "attempt_started", nodeId: request.nodeId, ref });
      this.#nowMs += 700;
    }
    this.step({ kind: "attempt_ended", nodeId: request.nodeId, ref, end: end(outcome) });
  }

  #connect(node: number, keeps: boolean): void {
    const held = [...this.#engine.state.onNode(nodeId(`n${node}`))].map(({ spec: { requestId: id }, attempt }) => ({ requestId: id, attempt }));
    const gpus = Array.from({ length: GPUS_PER_NODE }, (_, gpu) => inventory(`g${node}${gpu}`));
    this.step({ kind: "node_connected", nodeId: nodeId(`n${node}`), instanceId: "i", gpus, runners: [runner()], held: keeps ? held : [] });
  }

  #tick(ms: number): void {
    this.#nowMs += ms;
    this.#tickedAtMs = this.#nowMs;
    this.step({ kind: "tick" });
  }

  get journal(): readonly Record[] {
    return this.#journal;
  }

  /** Limits that kept somebody waiting or refused him, or would have: "held gpus team". */
  counted(): string[] {
    const { quotas } = this.#engine.state;
    const subjects = [...USERS.map((id) => ["user", id] as const), ...TEAMS.map((id) => ["team", id] as const)];
    return subjects.flatMap(([kind, id]) => [...quotas.countsOf(kind, id).keys()].map((name) => `held ${name} ${kind}`));
  }

  #told({ state }: Engine): string {
    const { quotas } = state;
    const live = [...quotas.users(), ...quotas.teams()].map(({ id, running, runningPriority, onGpu, onModel, reservedGpuMs, queued, queuedBytes, limits: may, team }) => [
      id, running, runningPriority, [...onGpu].sort(), [...onModel].sort(), reservedGpuMs, queued, queuedBytes, may, team?.id,
    ]);
    return JSON.stringify([quotas.store(), live]);
  }

  #newEngine(snapshot: ReturnType<typeof takeSnapshot> | null): Engine {
    const engine = new Engine(this.#settings, snapshot);
    this.#mutant(engine);
    return engine;
  }

  #tally(what: string): void {
    this.happened.set(what, (this.happened.get(what) ?? 0) + 1);
  }
}

function runPlan({ defaults, commands }: Plan, mutant: Mutant = () => undefined, mode: QuotaMode = "enforce"): World {
  const world = new World(defaults, mutant, mode);
  world.run(commands);
  return world;
}

test(`no limit is exceeded, nobody waits in vain, the numbers are right (GPU_ROUTER_PROPERTY_SEED=${seed}, ${runs} runs)`, () => {
  fc.assert(fc.property(plan, (one) => void runPlan(one)), { seed, numRuns: runs });
}, 120_000);

test(`shadow mode changes nothing (GPU_ROUTER_PROPERTY_SEED=${seed}, ${runs} runs)`, () => {
  const told: string[] = [];
  fc.assert(
    fc.property(plan, (one) => {
      const [off, shadow] = [runPlan(one, undefined, "off"), runPlan(one, undefined, "shadow")];
      expect(shadow.journal).toEqual(off.journal);
      expect(off.counted()).toEqual([]);
      told.push(...shadow.counted());
    }),
    { seed, numRuns: Math.ceil(runs / 4) },
  );
  expect(told.length).toBeGreaterThan(0);
}, 120_000);

test("the plans reach every limit, of users and of teams", () => {
  const reached = new Map<string, number>();
  for (const one of fc.sample(plan, { seed: 3, numRuns: 500 })) for (const [what, count] of runPlan(one).happened) reached.set(what, (reached.get(what) ?? 0) + count);
  const refusals = ["requests_per_minute", "requests_per_day", "queued_requests", "queued_bytes", "gpu_time", "gpus"].map((name) => `${name.startsWith("requests") ? "rate_limited" : "over_quota"} ${name}`);
  const holds = ["concurrent_requests", "priority_requests", "model_requests", "gpus", "gpu_time"].flatMap((name) => [`${name} user`, `${name} team`]);
  const wanted = ["quota_set", "attempt_failed", ...holds.map((name) => `held ${name}`), ...refusals.map((name) => `${name} user`), ...refusals.map((name) => `${name} team`)];
  for (const what of wanted) expect([what, (reached.get(what) ?? 0) > 0]).toEqual([what, true]);
});

describe("the checks can fail: they catch quotas that", () => {
  test.each<[string, string, Mutant]>([
    ["hold nobody", "at once", ({ state: { quotas } }) => void (quotas.held = () => null)],
    ["leave all GPUs to everybody", "GPUs at once", ({ state: { quotas } }) => void (quotas.gpusOpenTo = () => null)],
    ["refuse nobody", "per minute|in line|per day", ({ state: { quotas } }) => void (quotas.refusal = () => null)],
    ["do not count what was accepted", "is counted with", ({ state: { quotas } }) => void (quotas.accepted = (asked) => quotas.waits(asked))],
    ["do not count what is over", "is counted with", ({ state: { quotas } }) => void (quotas.ended = () => undefined)],
    ["forget in a snapshot", "a snapshot restores", ({ state: { quotas } }) => void (quotas.store = () => ({ entries: [], accounts: [] }))],
    ["refuse who has room", "was refused for gpus", ({ state: { quotas } }) => void (quotas.refusal = ({ userId }) => ({ name: "gpus", subject: "user", subjectId: userId, limit: quotas.user(userId)?.limits.gpus ?? 0, used: quotas.user(userId)?.onGpu.size ?? 0, asked: 0, resetAtMs: 0 }))],
    ["hold who has room", "waits for room", ({ state: { quotas } }) => void (quotas.held = ({ userId }) => ({ name: "gpu_time", subject: "user", subjectId: userId, limit: 1, used: 1, asked: 1, resetAtMs: 0 }))],
    ["let nobody go again", "waits for room", ({ state: { queue } }) => void (queue.letGo = () => undefined)],
  ])("%s", (_, expected, mutant) => {
    const result = fc.check(fc.property(plan, (one) => void runPlan(one, mutant)), { seed: 5, numRuns: 300, endOnFailure: true });
    expect(result.failed).toBe(true);
    expect(String(result.errorInstance)).toMatch(new RegExp(expected));
  });
});
