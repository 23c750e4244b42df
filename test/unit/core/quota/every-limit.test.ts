// Every limit alike, of a user and of the team above him: it is reached exactly, it outlives a restart and another attempt, in shadow mode it
// only counts, and a change counts at once. What is particular to one of them: limits.test.ts. A limit that is new does not compile until it is here.
import { describe, expect, test } from "@jest/globals";
import type { LimitName, QuotaLimits, QuotaMode, SubjectKind } from "../../../../src/core/model/quota.js";
import type { spec } from "../build.js";
import { QuotaWorld } from "./world.js";

interface Case {
  /** Two of `send` reach it. */
  readonly limits: Partial<QuotaLimits>;
  /** Room for one more. */
  readonly raised: Partial<QuotaLimits>;
  readonly send: Parameters<typeof spec>[1];
  /** What becomes of the third. */
  readonly beyond: "waits" | "refused";
  /** It counts what waits: there are no GPUs. */
  readonly inLine?: true;
}

interface NamedCase extends Case {
  readonly name: LimitName;
  readonly subject: SubjectKind;
}

const CASES: Readonly<Record<LimitName, Case>> = {
  concurrent_requests: { limits: { concurrentRequests: 2 }, raised: { concurrentRequests: 3 }, send: {}, beyond: "waits" },
  priority_requests: { limits: { priorityRequests: 2 }, raised: { priorityRequests: 3 }, send: { priority: 5 }, beyond: "waits" },
  model_requests: { limits: { modelRequests: { large: 2 } }, raised: { modelRequests: { large: 3 } }, send: { model: "large" }, beyond: "waits" },
  gpus: { limits: { gpus: 2 }, raised: { gpus: 3 }, send: {}, beyond: "waits" },
  gpu_time: { limits: { gpuTimeMs: 120_000 }, raised: { gpuTimeMs: 180_000 }, send: { requirements: { expectedDurationMs: 60_000 } }, beyond: "waits" },
  requests_per_minute: { limits: { requestsPerMinute: 2 }, raised: { requestsPerMinute: 3 }, send: {}, beyond: "refused" },
  requests_per_day: { limits: { requestsPerDay: 2 }, raised: { requestsPerDay: 3 }, send: {}, beyond: "refused" },
  queued_requests: { limits: { queuedRequests: 2 }, raised: { queuedRequests: 3 }, send: {}, beyond: "refused", inLine: true },
  queued_bytes: { limits: { queuedBytes: 20 }, raised: { queuedBytes: 30 }, send: { payload: new Uint8Array(10) }, beyond: "refused", inLine: true },
};

const all = (Object.keys(CASES) as LimitName[]).flatMap((name) => (["user", "team"] as const).map((subject): NamedCase => ({ name, subject, ...CASES[name] })));

/** Alice and bob, who both are of the team; a user's limit is alice's. */
class Stage {
  readonly world: QuotaWorld;
  readonly #of: NamedCase;
  #sent = 0;

  constructor(of: NamedCase, mode: QuotaMode = "enforce") {
    this.#of = of;
    this.world = new QuotaWorld({}, { maxConcurrentTasksPerGpu: 1, retryDelayMs: 0 }, mode);
    for (const user of ["alice", "bob"]) this.world.set(user, { team: "team" });
    this.set(of.limits);
    if (!of.inLine) this.world.connect("n", ["g0", "g1", "g2", "g3"]);
  }

  set(limits: Partial<QuotaLimits>): void {
    if (this.#of.subject === "team") this.world.set("team", limits, "team");
    else this.world.set("alice", { ...limits, team: "team" });
  }

  /** One more: in line, on a GPU, or refused by this very limit. */
  send(): "passes" | "waits" | "refused" {
    const { name, subject, inLine } = this.#of;
    const user = subject === "team" && this.#sent % 2 === 1 ? "bob" : "alice";
    this.#sent += 1;
    const outcome = this.world.send(user, this.#of.send);
    if (outcome.kind === "accepted") return inLine || this.waiting === 0 ? "passes" : "waits";
    expect(outcome).toMatchObject({ kind: name.startsWith("requests_per") ? "rate_limited" : "over_quota", over: { name, subject } });
    return "refused";
  }

  get running(): number {
    return this.world.on("alice").length + this.world.on("bob").length;
  }

  get waiting(): number {
    return this.world.waiting("alice").length + this.world.waiting("bob").length;
  }

  get counted(): number {
    const { name, subject } = this.#of;
    return this.world.engine.state.quotas.countsOf(subject, subject === "team" ? "team" : "alice").get(name) ?? 0;
  }
}

describe.each(all)("$name of a $subject", (of) => {
  test("is reached exactly, and the one beyond it is told of", () => {
    const stage = new Stage(of);
    expect([stage.send(), stage.send(), stage.send()]).toEqual(["passes", "passes", of.beyond]);
    expect(stage.counted).toBe(1);
  });

  test.each(["replay", "snapshot"] as const)("is as near after a restart by %s", (as) => {
    const stage = new Stage(of);
    expect([stage.send(), stage.send()]).toEqual(["passes", "passes"]);
    stage.world.restart(as);
    expect(stage.send()).toBe(of.beyond);
    stage.world.restart(as);
    if (of.beyond === "waits") expect([stage.running, stage.waiting]).toEqual([2, 1]);
    else expect(stage.send()).toBe("refused");
  });

  test("is not passed by another attempt, which counts once", () => {
    const stage = new Stage(of);
    for (const expected of ["passes", "passes", of.beyond]) expect(stage.send()).toBe(expected);
    if (of.inLine) stage.world.connect("n", ["g0", "g1", "g2", "g3"]);
    for (let loss = 0; loss < 3; loss += 1) {
      const running = [...stage.world.on("alice"), ...stage.world.on("bob")];
      stage.world.end(running[loss % 2]!.spec.requestId, "unavailable");
      stage.world.pass(1_000);
      expect(stage.running).toBe(2);
    }
    expect(stage.waiting).toBe(of.beyond === "waits" ? 1 : 0);
    if (of.inLine) expect(stage.world.account("alice")).toMatchObject({ queued: 0, queuedBytes: 0 });
    else expect(stage.send()).toBe(of.beyond);
  });

  test("only counts in shadow mode", () => {
    const stage = new Stage(of, "shadow");
    expect([stage.send(), stage.send(), stage.send()]).toEqual(["passes", "passes", "passes"]);
    expect(stage.counted).toBe(1);
    expect(stage.running).toBe(of.inLine ? 0 : 3);
  });

  test("counts at once when it is changed, and stops nobody", () => {
    const stage = new Stage(of);
    for (const expected of ["passes", "passes", of.beyond]) expect(stage.send()).toBe(expected);
    stage.set(of.raised);
    if (of.beyond === "refused") expect(stage.send()).toBe("passes");
    expect(stage.running + (of.inLine ? stage.waiting : 0)).toBe(3);
    stage.set(of.limits);
    expect(stage.running + (of.inLine ? stage.waiting : 0)).toBe(3);
    expect(stage.send()).toBe(of.beyond);
    stage.set({});
    if (of.beyond === "refused") expect(stage.send()).toBe("passes");
    expect(stage.running + (of.inLine ? stage.waiting : 0)).toBe(4);
  });
});
