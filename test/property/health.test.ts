// The health of GPUs under any list of what can be told and learned of them, driven through the engine.
import { expect, test } from "@jest/globals";
import fc from "fast-check";
import type { Engine } from "../../src/core/engine.js";
import type { AttemptOutcome, Step } from "../../src/core/events.js";
import type { GpuHealthState, GpuReport } from "../../src/core/model/gpu.js";
import { assert } from "../../src/lib/assert.js";
import { DEFAULT_CORE_SETTINGS, type CoreSettings } from "../../src/core/settings.js";
import { gpuId, inventory, nodeId, runner, sample, World } from "../unit/core/build.js";

const GPUS = 8;
const IDS = Array.from({ length: GPUS }, (_, index) => `g${index}`);
/** With the two of one MIG GPU. */
const INVENTORIES = IDS.map((id, index) => inventory(id, index < 2 ? { parentGpuId: gpuId("parent") } : {}));
const MAX_EJECTED = 2;
const HEALTH = { ...DEFAULT_CORE_SETTINGS.health, maxEjectedShare: MAX_EJECTED / GPUS, minOutcomes: 3 };
const given = Number(process.env["GPU_ROUTER_PROPERTY_SEED"]);
const seed = Number.isInteger(given) && given !== 0 ? given : Date.now() % 0x7fffffff;
const runs = Math.ceil(Number(process.env["GPU_ROUTER_PROPERTY_RUNS"] ?? 250) / 5);

type Command =
  | { readonly do: "work"; readonly gpu: number; readonly idempotent: boolean; readonly model: string }
  | { readonly do: "end"; readonly pick: number; readonly outcome: AttemptOutcome; readonly fault?: "gpu" | "none"; readonly runMs: number }
  /** Several on one GPU, one after the other, that end alike. */
  | { readonly do: "series"; readonly gpu: number; readonly count: number; readonly outcome: AttemptOutcome; readonly runMs: number }
  | { readonly do: "report"; readonly gpu: number; readonly report: GpuReport }
  | { readonly do: "lost"; readonly gpu: number }
  | { readonly do: "sample"; readonly gpu: number; readonly celsius: number; readonly reasons: number; readonly ecc: number; readonly failed: boolean }
  | { readonly do: "hello"; readonly anew: boolean; readonly missing: number }
  | { readonly do: "cut" }
  | { readonly do: "pass"; readonly ms: number };

const gpu = fc.nat(GPUS - 1);
const xid = fc.constantFrom(13, 31, 43, 45, 48, 63, 74, 79, 94, 95, 119, 154, 999).map((number): GpuReport => ({ kind: "xid", xid: number, detail: "" }));
const word = fc.constantFrom<GpuReport>({ kind: "hangs", reason: "hangs" }, { kind: "restored", reason: "answers again" });
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("work" as const), gpu, idempotent: fc.boolean(), model: fc.constantFrom("a", "b") }) },
  {
    weight: 10,
    arbitrary: fc.record(
      { do: fc.constant("end" as const), pick: fc.nat(1_000), outcome: fc.constantFrom<AttemptOutcome>("succeeded", "unavailable", "failed", "cancelled"), fault: fc.constantFrom("gpu" as const, "none" as const), runMs: fc.constantFrom(100, 1_000, 9_000) },
      { requiredKeys: ["do", "pick", "outcome", "runMs"] },
    ),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("series" as const), gpu, count: fc.integer({ min: 3, max: 40 }), outcome: fc.constantFrom<AttemptOutcome>("succeeded", "unavailable"), runMs: fc.constantFrom(1_000, 9_000) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("report" as const), gpu, report: fc.oneof(xid, word) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("lost" as const), gpu }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("sample" as const), gpu, celsius: fc.constantFrom(40, 78, 82, 90, Number.NaN), reasons: fc.constantFrom(0, 4, 0x40), ecc: fc.nat(3), failed: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("hello" as const), anew: fc.boolean(), missing: fc.integer({ min: -1, max: GPUS - 1 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("cut" as const) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.constantFrom(50, 1_000, 12_000, 60_000, 320_000) }) },
);

class Watched {
  readonly world: World;
  readonly seen = new Map<string, GpuHealthState>(IDS.map((id) => [id, "healthy"]));
  /** Out, or back on trial, for what outcomes suggested. */
  readonly ejected = new Set<string>();
  readonly reached = new Set<string>();
  /** Since when those are on probation that nobody has tried yet, ms. */
  readonly #untried = new Map<string, number>();
  #sent = 0;
  #instance = 0;

  constructor(over: Partial<CoreSettings>, onEngine: (engine: Engine) => void) {
    this.world = new World({ strategy: "least_outstanding", maxRetries: 1, requestTimeoutMs: 0, health: HEALTH, ...over });
    onEngine(this.world.engine);
    this.hello(true, -1);
  }

  run(each: Command): void {
    const { world } = this;
    world.nowMs += 10;
    switch (each.do) {
      case "work":
        this.#sent += 1;
        this.judge(world.submit(`r${this.#sent}`, { gpu: IDS[each.gpu]!, model: each.model, idempotent: each.idempotent, requirements: { expectedDurationMs: 1_000 } }));
        return;
      case "end": {
        const placed = [...world.engine.state.requests.values()].filter(({ phase }) => phase !== "queued");
        const request = placed[each.pick % Math.max(1, placed.length)];
        if (!request) return;
        const statistics = { runMs: each.runMs, firstOutputMs: 0, inputTokens: 0, outputTokens: 0, peakMemoryMib: 0 };
        if (each.outcome === "succeeded") this.#untried.delete(request.gpuId);
        this.judge(world.end(request.spec.requestId, each.outcome, { statistics, ...(each.fault && { fault: each.fault }) }));
        return;
      }
      case "series":
        for (let turn = 0; turn < each.count; turn += 1) this.#serve(IDS[each.gpu]!, each.outcome, each.runMs);
        return;
      case "report":
        this.judge(world.step({ kind: "gpu_report", nodeId: nodeId("n"), gpuId: gpuId(IDS[each.gpu]!), report: each.report }));
        return;
      case "lost":
        this.judge(world.step({ kind: "gpu_lost", nodeId: nodeId("n"), gpuId: gpuId(IDS[each.gpu]!), reason: "gone" }));
        return;
      case "sample":
        this.judge(world.observe("n", [sample(IDS[each.gpu]!, { temperatureCelsius: each.celsius, clockEventReasons: each.reasons, eccUncorrected: each.ecc, rowRemapFailed: each.failed })]));
        return;
      case "hello":
        this.hello(each.anew, each.missing);
        return;
      case "cut":
        this.judge(world.disconnect("n"));
        return;
      case "pass":
        this.judge(world.pass(each.ms));
    }
  }

  #serve(id: string, outcome: AttemptOutcome, runMs: number): void {
    this.#sent += 1;
    const request = `r${this.#sent}`;
    this.judge(this.world.submit(request, { gpu: id, model: outcome === "succeeded" ? "all" : `of-${id}`, requirements: { expectedDurationMs: 1_000 } }));
    const statistics = { runMs, firstOutputMs: 0, inputTokens: 0, outputTokens: 0, peakMemoryMib: 0 };
    if (outcome === "succeeded" && this.world.request(request).phase !== "queued") this.#untried.delete(id);
    if (this.world.request(request).phase === "queued") this.judge(this.world.cancel(request));
    else this.judge(this.world.end(request, outcome, { statistics }));
    if (this.world.isLive(request)) this.judge(this.world.cancel(request));
  }

  hello(anew: boolean, missing: number): void {
    if (anew) this.#instance += 1;
    const gpus = INVENTORIES.filter((_, index) => index !== missing);
    const held = [...this.world.engine.state.requests.values()].filter(({ phase }) => phase !== "queued").map(({ spec, attempt }) => ({ requestId: spec.requestId, attempt }));
    this.judge(this.world.step({ kind: "node_connected", nodeId: nodeId("n"), instanceId: `${this.#instance}`, gpus, runners: [runner()], held }));
  }

  #done(id: string): void {
    this.#untried.delete(this.world.request(id).gpuId);
    this.judge(this.world.end(id));
  }

  /** What must hold after every step. */
  judge(step: Step): void {
    const { engine } = this.world;
    const { health, active, blocked } = engine.state.fleet;
    const stateBefore = new Map(this.seen);
    for (const [id, sinceMs] of this.#untried) if (this.world.nowMs - sinceMs >= HEALTH.probePatienceMs) this.#untried.delete(id);
    for (const effect of step.effects) {
      if (effect.kind !== "health_changed") continue;
      const { gpuId: id, from, to, reason, atMs } = effect.transition;
      assert(from === this.seen.get(id) && from !== to, `${id} goes on from where it was`);
      assert(reason !== "" && atMs <= this.world.nowMs, "every transition has its evidence and its time");
      this.seen.set(id, to);
      if (to === "probation") this.#untried.set(id, atMs);
      else this.#untried.delete(id);
      this.reached.add(`${from} to ${to}`);
      if (to === "quarantined" && /attempts failed|times as long/.test(reason)) {
        this.ejected.add(id);
        this.reached.add("ejected");
        assert(this.ejected.size <= MAX_EJECTED, "statistics take out no more than their share");
      } else if (to !== "probation" && !reason.startsWith("failed in probation")) {
        this.ejected.delete(id);
      }
    }
    IDS.forEach((id, index) => {
      assert(health.state(index) === this.seen.get(id), "no state changes without being told");
      const out = health.state(index) === "quarantined" || health.state(index) === "draining";
      assert(!out || blocked[index] !== 0, "what is out takes nothing");
      assert(!this.#untried.has(id) || blocked[index] !== 0 || active[index] === 0, "what has its probe takes nothing else");
      assert(engine.health.view(index).history.length <= 16, "the history has a bound");
    });
    for (const record of step.records) {
      if (record.kind !== "placed") continue;
      const index = IDS.indexOf(record.gpuId);
      // Out before and after the step: it cannot have been in service in between.
      const wasOut = ["quarantined", "draining"].includes(stateBefore.get(record.gpuId)!);
      assert(!(wasOut && health.isOut(index) && stateBefore.get(record.gpuId) === this.seen.get(record.gpuId)), `${record.requestId} was placed on ${record.gpuId}, which is out`);
      if (!this.#untried.has(record.gpuId)) continue;
      this.reached.add("probe");
      assert(active[index] === 1, "a probe is alone");
      assert(engine.state.requests.get(record.requestId)?.spec.idempotent === true, "a probe may run again elsewhere");
    }
  }

  /** Everything is well from now on: everybody must be healthy in the end. */
  heal(): void {
    this.hello(true, -1);
    for (const { phase, spec } of this.world.engine.state.requests.values()) if (phase !== "queued") this.#done(spec.requestId);
    for (let second = 0; second < 9_000; second += 1) {
      if (second % 5 === 0) this.judge(this.world.observe("n", IDS.map((id) => sample(id, { rowRemapFailed: false }))));
      this.judge(this.world.pass(1_000));
      for (const { phase, spec } of this.world.engine.state.requests.values()) if (phase !== "queued") this.#done(spec.requestId);
      if (second > 700 && [...this.seen.values()].every((state) => state === "healthy")) return;
    }
    assert(false, `everybody is healthy in the end, not ${JSON.stringify([...this.seen])}`);
  }
}

function life(commands: readonly Command[], over: Partial<CoreSettings> = {}, onEngine: (engine: Engine) => void = () => {}): Watched {
  const watched = new Watched(over, onEngine);
  for (const each of commands) watched.run(each);
  watched.heal();
  return watched;
}

const lives = fc.array(command, { maxLength: 120, size: "max" });

test(`whatever is told and learned of GPUs (GPU_ROUTER_PROPERTY_SEED=${seed}): statistics take out no more than their share, what is out gets nothing, what comes back gets one probe, every change has its evidence, and who is well for long enough is healthy`, () => {
  fc.assert(fc.property(lives, (commands) => void life(commands)), { seed, numRuns: runs });
}, 120_000);

test("the lives reach every state on every way that there is", () => {
  const reached = new Set<string>();
  for (const commands of fc.sample(lives, { seed: 7, numRuns: 60 })) for (const way of life(commands).reached) reached.add(way);
  expect([...reached].sort()).toEqual(
    expect.arrayContaining([
      "degraded to draining",
      "degraded to healthy",
      "degraded to quarantined",
      "draining to degraded",
      "draining to healthy",
      "draining to probation",
      "draining to quarantined",
      "ejected",
      "healthy to degraded",
      "healthy to draining",
      "healthy to quarantined",
      "probation to healthy",
      "probation to quarantined",
      "probe",
      "quarantined to probation",
    ]),
  );
}, 120_000);

test.each<[string, RegExp, Partial<CoreSettings>, (engine: Engine) => void]>([
  ["takes out as many as fail", /no more than their share/, { health: { ...HEALTH, maxEjectedShare: 1 } }, () => {}],
  ["lets GPUs that are out take work", /what is out takes nothing|which is out/, {}, ({ state: { fleet } }) => {
    const judged = fleet.judged.bind(fleet);
    fleet.judged = (index, verdict) => judged(index, { ...verdict, slots: Number.POSITIVE_INFINITY });
  }],
  ["forgets that a GPU has to prove itself", /what has its probe|may run again|is alone/, {}, ({ state: { fleet } }) => {
    fleet.health.isProbing = () => false;
    const judged = fleet.judged.bind(fleet);
    fleet.judged = (index, verdict) => judged(index, { ...verdict, probing: false, slots: verdict.state === "probation" ? 8 : verdict.slots });
  }],
  ["keeps changes to itself", /no state changes without being told/, {}, ({ health }) => {
    health.takeTransitions = () => [];
  }],
])("the checks can fail: they catch an engine that %s", (_, expected, over, onEngine) => {
  const result = fc.check(fc.property(lives, (commands) => void life(commands, over, onEngine)), { seed: 11, numRuns: 60, endOnFailure: true });
  expect(result.failed).toBe(true);
  expect(String(result.errorInstance)).toMatch(expected);
}, 120_000);
