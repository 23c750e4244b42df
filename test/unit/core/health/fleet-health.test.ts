// The health of a fleet as the engine drives it: what is told and learned, and what that means for requests.
import { describe, expect, test } from "@jest/globals";
import type { AttemptEnd, AttemptOutcome, Step } from "../../../../src/core/events.js";
import type { GpuInventory, GpuReport } from "../../../../src/core/model/gpu.js";
import { DEFAULT_CORE_SETTINGS, type CoreSettings } from "../../../../src/core/settings.js";
import { gpuId, inventory, modelId, nodeId, sample, told, wishes, World } from "../build.js";

const STATISTICS = { runMs: 1_000, firstOutputMs: 0, inputTokens: 0, outputTokens: 0, peakMemoryMib: 0 };

/** One node, by default with the GPUs g0 to g3. */
class Ward extends World {
  #sent = 0;

  constructor(over: Partial<CoreSettings> = {}, gpus: readonly (string | GpuInventory)[] = ["g0", "g1", "g2", "g3"]) {
    super({ maxRetries: 0, requestTimeoutMs: 0, strategy: "least_outstanding", ...over });
    this.connect("n0", gpus);
  }

  report(gpu: string, report: GpuReport): Step {
    return this.step({ kind: "gpu_report", nodeId: nodeId("n0"), gpuId: gpuId(gpu), report });
  }

  xid(gpu: string, xid: number, detail = ""): Step {
    return this.report(gpu, { kind: "xid", xid, detail });
  }

  lose(gpu: string): Step {
    return this.step({ kind: "gpu_lost", nodeId: nodeId("n0"), gpuId: gpuId(gpu), reason: "does not answer" });
  }

  state(gpu: string): string {
    return this.engine.state.fleet.health.state(this.index(gpu));
  }

  signs(gpu: string): readonly string[] {
    return this.engine.health.view(this.index(gpu)).signs;
  }

  index(gpu: string): number {
    return this.engine.state.fleet.indexOf(gpuId(gpu));
  }

  /** Runs a request on a GPU; false when the GPU does not take it. */
  serve(gpu: string, outcome: AttemptOutcome = "succeeded", over: Partial<AttemptEnd> & { readonly model?: string; readonly runMs?: number } = {}): boolean {
    const { model = "m", runMs = 1_000, ...rest } = over;
    this.#sent += 1;
    const id = `${gpu}-${this.#sent}`;
    this.submit(id, { gpu, model, requirements: { expectedDurationMs: 1_000 } });
    if (this.request(id).phase === "queued") {
      this.cancel(id);
      return false;
    }
    this.end(id, outcome, { statistics: { ...STATISTICS, runMs }, ...rest });
    return true;
  }

  /** Seconds of nothing but time. */
  wait(ms: number): void {
    for (let left = ms; left > 0; left -= 1_000) this.pass(Math.min(1_000, left));
  }
}

describe("Xids", () => {
  test("a fatal one takes the GPU out, and its work runs again on another in the same step", () => {
    const ward = new Ward({ maxRetries: 1 });
    ward.submit("r");
    const from = ward.request("r").gpuId;
    expect(told(ward.xid(from, 119))).toEqual(["cancel r#1 on n0", expect.stringMatching(/^dispatch r#2 to g/)]);
    expect([ward.state(from), ward.request("r").gpuId === from]).toEqual(["quarantined", false]);
  });

  test("one that needs a reset lets the work end and nothing new begin", () => {
    const ward = new Ward({}, ["g0"]);
    ward.submit("running");
    expect(told(ward.xid("g0", 48))).toEqual([]);
    ward.submit("waiting");
    expect([ward.state("g0"), ward.request("running").phase, ward.request("waiting").phase]).toEqual(["draining", "placed", "queued"]);
    ward.end("running");
    ward.pass(50);
    expect([ward.state("g0"), ward.signs("g0")]).toEqual(["quarantined", ["Xid 48: memory error that is not corrected"]]);
  });

  test.each([13, 31, 43, 45])("that of an application, such as %i, never counts against the GPU, however often it comes", (xid) => {
    const ward = new Ward();
    for (let turn = 0; turn < 50; turn += 1) ward.xid("g0", xid);
    expect([ward.state("g0"), ward.signs("g0")]).toEqual(["healthy", []]);
  });

  test("one that nobody knows degrades for ten minutes", () => {
    const ward = new Ward();
    ward.xid("g0", 999);
    expect([ward.state("g0"), ward.signs("g0")]).toEqual(["degraded", ["Xid 999: an error of a kind that is not known"]]);
    ward.wait(600_000);
    expect(ward.state("g0")).toBe("degraded");
    ward.wait(11_000);
    expect(ward.state("g0")).toBe("healthy");
  });

  test("of another node's GPU is hearsay", () => {
    const ward = new Ward();
    ward.connect("n1", ["h0"]);
    ward.step({ kind: "gpu_report", nodeId: nodeId("n1"), gpuId: gpuId("g0"), report: { kind: "xid", xid: 79, detail: "" } });
    expect(ward.state("g0")).toBe("healthy");
  });
});

describe("MIG instances follow their GPU", () => {
  const instance = (id: string, parent: string): GpuInventory => inventory(id, { parentGpuId: gpuId(parent) });
  const divided = (): Ward => new Ward({ maxRetries: 1 }, [instance("a1", "A"), instance("a2", "A"), instance("b1", "B")]);

  test.each([
    ["the GPU", "A"],
    ["one of its instances", "a2"],
  ])("an Xid that names %s takes out all of its instances, and nobody else's", (_, named) => {
    const ward = divided();
    ward.submit("r", { gpu: "a1" });
    expect(told(ward.xid(named, 79))).toEqual(["cancel r#1 on n0"]);
    expect(["a1", "a2", "b1"].map((gpu) => ward.state(gpu))).toEqual(["quarantined", "quarantined", "healthy"]);
  });

  test("a GPU that is lost takes all of its instances with it", () => {
    const ward = divided();
    ward.lose("a1");
    expect(["a1", "a2", "b1"].map((gpu) => ward.state(gpu))).toEqual(["quarantined", "quarantined", "healthy"]);
  });

  test("what fails on one of them says nothing of the others", () => {
    const ward = divided();
    for (let turn = 0; turn < 6; turn += 1) ward.serve("a1", "unavailable");
    expect(["a1", "a2"].map((gpu) => ward.state(gpu))).toEqual(["quarantined", "healthy"]);
  });
});

describe("a lost GPU", () => {
  test("that told of itself before stays out until it does again, however long that takes", () => {
    const ward = new Ward();
    ward.observe("n0", [sample("g0")]);
    ward.lose("g0");
    ward.wait(400_000);
    expect(ward.state("g0")).toBe("quarantined");
    expect(ward.engine.health.view(0).untilMs).toBe(Number.POSITIVE_INFINITY);
    ward.observe("n0", [sample("g0")]);
    expect(ward.state("g0")).toBe("probation");
  });

  test("is not there again because of a sample of before", () => {
    const ward = new Ward();
    ward.observe("n0", [sample("g0")]);
    ward.lose("g0");
    ward.observe("n0", [sample("g0")], 10);
    ward.wait(400_000);
    expect(ward.state("g0")).toBe("quarantined");
  });

  test("that was reset proves itself at once, without the rest of its cool-down", () => {
    const ward = new Ward();
    ward.lose("g0");
    ward.wait(3_000);
    ward.report("g0", { kind: "restored", reason: "it answers again" });
    expect(ward.state("g0")).toBe("probation");
    expect(ward.serve("g0")).toBe(true);
    ward.wait(60_000);
    expect(ward.state("g0")).toBe("healthy");
  });

  test("whose node comes back with another agent proves itself at once; with the same agent it does not", () => {
    const ward = new Ward();
    ward.xid("g0", 79);
    const gpus = ["g0", "g1", "g2", "g3"];
    ward.connect("n0", gpus);
    expect(ward.state("g0")).toBe("quarantined");
    ward.step({ kind: "node_connected", nodeId: nodeId("n0"), instanceId: "second", gpus: gpus.map((id) => inventory(id)), runners: [{ name: "runner", kind: "simulated", models: ["*"], types: [], gpuIds: [] }], held: [] });
    expect(ward.state("g0")).toBe("probation");
  });

  test("whose calls hang drains, and is well again when it answers", () => {
    const ward = new Ward();
    ward.submit("r", { gpu: "g0" });
    expect(told(ward.report("g0", { kind: "hangs", reason: "NVML did not answer within 5 s" }))).toEqual([]);
    expect([ward.state("g0"), ward.request("r").phase]).toEqual(["draining", "placed"]);
    ward.wait(60_000);
    expect(ward.state("g0")).toBe("draining");
    ward.observe("n0", [sample("g0")]);
    ward.wait(10_000);
    expect(ward.state("g0")).toBe("healthy");
  });
});

describe("temperature", () => {
  test("trap of peers, stale telemetry is taken for a state: a GPU that was hot when it fell silent does not become eligible because its telemetry went stale", () => {
    const ward = new Ward({}, ["g0"]);
    ward.observe("n0", [sample("g0", { temperatureCelsius: 95 })]);
    ward.submit("r");
    ward.wait(3_600_000);
    expect([ward.state("g0"), ward.request("r").phase]).toEqual(["draining", "queued"]);
    ward.observe("n0", [sample("g0", { temperatureCelsius: 60 })]);
    ward.wait(10_000);
    expect([ward.state("g0"), ward.request("r").phase]).toEqual(["healthy", "placed"]);
  });
});

describe("errors", () => {
  test("a GPU above error_threshold is out after a few outcomes, with its rate as evidence", () => {
    const ward = new Ward();
    let served = 0;
    while (ward.serve("g0", "unavailable")) served += 1;
    expect(served).toBe(DEFAULT_CORE_SETTINGS.health.minOutcomes);
    expect([ward.state("g0"), ward.signs("g0")]).toEqual(["quarantined", ["23 % of the last attempts failed"]]);
  });

  test("a GPU on which every other attempt fails is out within 20 of them", () => {
    const ward = new Ward();
    let served = 0;
    while (ward.serve("g0", served % 2 === 0 ? "succeeded" : "unavailable")) served += 1;
    expect(served).toBeLessThanOrEqual(20);
  });

  test.each<[string, AttemptOutcome, Partial<AttemptEnd>]>([
    ["the request's own", "failed", {}],
    ["for certain not the GPU's", "unavailable", { fault: "none" }],
    ["nobody's, since it was cancelled", "cancelled", {}],
  ])("trap of peers, a refused request (4xx) trips a breaker: those that are %s never count against a GPU", (_, outcome, over) => {
    const ward = new Ward();
    for (let turn = 0; turn < 50; turn += 1) ward.serve("g0", outcome, over);
    expect([ward.state("g0"), ward.engine.state.fleet.health.errorRate[0]]).toEqual(["healthy", 0]);
  });

  test("for which CUDA blames the GPU degrade it at the first; what the attempt said is not for everybody to see", () => {
    const ward = new Ward();
    ward.serve("g0", "unavailable", { fault: "gpu", error: { code: "gpu_fault", message: "CUDA error: uncorrectable ECC error encountered" } });
    expect([ward.state("g0"), ward.signs("g0")]).toEqual(["degraded", ["an attempt failed by its fault: gpu_fault"]]);
  });

  test("that a model makes everywhere take out no more than a few GPUs, and then none", () => {
    const gpus = Array.from({ length: 20 }, (_, index) => `g${index}`);
    const ward = new Ward({}, gpus);
    for (let turn = 0; turn < 40; turn += 1) for (const gpu of gpus) ward.serve(gpu, "unavailable", { model: "broken" });
    const out = gpus.filter((gpu) => ward.state(gpu) === "quarantined");
    expect(out.length).toBeLessThanOrEqual(6);
    ward.wait(900_000);
    expect(gpus.filter((gpu) => ward.state(gpu) === "healthy").length).toBeGreaterThanOrEqual(14);
  });

  test("take out at most the share that may be out, and the next when one is back", () => {
    const gpus = Array.from({ length: 10 }, (_, index) => `g${index}`);
    const ward = new Ward({}, gpus);
    // Each with a model of its own, so that nothing can be compared.
    const fail = (gpu: string): void => {
      for (let turn = 0; turn < 8; turn += 1) ward.serve(gpu, "unavailable", { model: `model-of-${gpu}` });
    };
    gpus.forEach(fail);
    expect(gpus.filter((gpu) => ward.state(gpu) === "quarantined")).toEqual(["g0", "g1", "g2"]);
    expect(gpus.slice(3).map((gpu) => ward.state(gpu))).toEqual(Array.from({ length: 7 }, () => "degraded"));
    expect(ward.signs("g3")).toEqual([expect.stringContaining("it stays since as many as may be are out already")]);
    // A fact is no statistic.
    ward.xid("g9", 79);
    expect(ward.state("g9")).toBe("quarantined");
  });

  test("of a fleet of one take it out: one always may be", () => {
    const ward = new Ward({}, ["g0"]);
    for (let turn = 0; turn < 6; turn += 1) ward.serve("g0", "unavailable");
    expect(ward.state("g0")).toBe("quarantined");
  });
});

describe("slowness", () => {
  const outcomes = (ward: Ward, slowness: number): void => {
    for (let turn = 0; turn < 30; turn += 1) {
      for (const gpu of ["g0", "g1", "g2", "g3"]) ward.serve(gpu, "succeeded", { runMs: gpu === "g3" ? 1_000 * slowness : 1_000 });
      ward.wait(1_000);
    }
  };

  test("beside the others of its kind degrades a GPU, and passes when it is as fast as they are", () => {
    const ward = new Ward();
    outcomes(ward, 3);
    expect(["g0", "g1", "g2", "g3"].map((gpu) => ward.state(gpu))).toEqual(["healthy", "healthy", "healthy", "degraded"]);
    expect(ward.signs("g3")).toEqual([expect.stringMatching(/^it takes (2\.9|3\.0) times as long as others of its kind$/)]);
    outcomes(ward, 1);
    // Compared every five seconds, and better for ten.
    ward.wait(15_000);
    expect(ward.state("g3")).toBe("healthy");
  });

  test("beyond eject_ratio takes it out", () => {
    const ward = new Ward();
    outcomes(ward, 10);
    expect(ward.state("g3")).toBe("quarantined");
  });

  test("of all alike is nobody's", () => {
    const ward = new Ward();
    for (let turn = 0; turn < 30; turn += 1) for (const gpu of ["g0", "g1", "g2", "g3"]) ward.serve(gpu, "succeeded", { runMs: 9_000 });
    ward.wait(2_000);
    expect(["g0", "g1", "g2", "g3"].map((gpu) => ward.state(gpu))).toEqual(["healthy", "healthy", "healthy", "healthy"]);
  });
});

describe("probation", () => {
  const onProbation = (over: Partial<CoreSettings> = {}): Ward => {
    const ward = new Ward(over, ["g0"]);
    ward.xid("g0", 79);
    ward.wait(300_000);
    expect(ward.state("g0")).toBe("probation");
    return ward;
  };

  test("takes one waiting request that may run again, and no other until that has ended well", () => {
    const ward = onProbation();
    ward.submit("once", { idempotent: false });
    ward.submit("training", { type: "training" });
    ward.submit("gang", { wishes: wishes({ gpus: 2 }) });
    expect(["once", "training"].map((id) => ward.request(id).phase)).toEqual(["queued", "queued"]);
    ward.submit("probe");
    ward.submit("next");
    expect(["probe", "next"].map((id) => ward.request(id).phase)).toEqual(["placed", "queued"]);
    ward.end("probe");
    expect(ward.request("next").phase === "placed" || ward.request("once").phase === "placed").toBe(true);
  });

  test("goes on with another probe when the first ended for reasons of its own", () => {
    const ward = onProbation();
    ward.submit("a");
    ward.end("a", "failed");
    expect(ward.engine.state.fleet.health.isProbing(0)).toBe(true);
    expect(ward.serve("g0")).toBe(true);
    expect(ward.engine.state.fleet.health.isProbing(0)).toBe(false);
  });

  test("trap of peers, health checks that send made-up work: without requests nothing is dispatched", () => {
    const ward = onProbation();
    const told_ = [];
    for (let turn = 0; turn < 100; turn += 1) told_.push(...told(ward.pass(1_000)));
    expect(told_).toEqual([]);
    expect(ward.state("g0")).toBe("healthy");
  });

  test("work that may not run again is not kept waiting for ever", () => {
    const ward = onProbation();
    ward.submit("once", { idempotent: false });
    ward.wait(29_000);
    expect(ward.request("once").phase).toBe("queued");
    ward.wait(1_000);
    expect(ward.request("once").phase).toBe("placed");
  });

  test("Explain names what such work waits for", () => {
    const ward = onProbation();
    const { spec } = ward.submit("once", { idempotent: false }) && ward.request("once");
    const { filters } = ward.engine.explain(spec, ward.nowMs);
    expect(filters).toEqual([{ filter: "probe", removed: 1, needed: "a GPU that has proved itself since it was out" }]);
  });
});

describe("what people see", () => {
  test("each change is told once, with its evidence", () => {
    const ward = new Ward();
    const changes = (step: Step): string[] =>
      step.effects.flatMap((effect) => (effect.kind === "health_changed" ? [`${effect.transition.gpuId} ${effect.transition.from} to ${effect.transition.to}: ${effect.transition.reason}`] : []));
    expect(changes(ward.xid("g1", 79))).toEqual(["g1 healthy to quarantined: Xid 79: fell off the bus"]);
    expect(changes(ward.xid("g1", 79))).toEqual([]);
    const later: string[] = [];
    for (let turn = 0; turn < 500; turn += 1) later.push(...changes(ward.pass(1_000)));
    expect(later).toEqual(["g1 quarantined to probation: its cool-down is over", "g1 probation to healthy: its slow start is over"]);
  });

  test("a GPU that its node does not report is out until it does, and then proves itself", () => {
    const ward = new Ward();
    ward.connect("n0", ["g0", "g1"]);
    expect([ward.state("g2"), ward.signs("g2")]).toEqual(["quarantined", ["its node does not report it"]]);
    ward.wait(1_000_000);
    expect(ward.state("g2")).toBe("quarantined");
    ward.connect("n0", ["g0", "g1", "g2"]);
    expect([ward.state("g2"), ward.state("g3")]).toEqual(["probation", "quarantined"]);
  });
});

describe("What lay in the cache of a GPU", () => {
  const prompt = [1, 2, 3];
  const found = (ward: Ward, gpu: string): number => ward.engine.state.fleet.prefixes.lengths(modelId("m"), prompt)[ward.index(gpu)]!;

  /** Both GPUs have read the prompt. */
  function read(): Ward {
    const ward = new Ward();
    for (const gpu of ["g0", "g1"]) ward.submit(`reads-${gpu}`, { gpu, wishes: wishes({ prefixHashes: prompt }) });
    expect([found(ward, "g0"), found(ward, "g1")]).toEqual([3, 3]);
    return ward;
  }

  test.each<[string, (ward: Ward) => unknown]>([
    ["fell off the bus", (ward) => ward.lose("g0")],
    ["was reset", (ward) => ward.report("g0", { kind: "restored", reason: "it answers again" })],
  ])("is gone when it %s; that of others is not", (_what, happen) => {
    const ward = read();
    happen(ward);
    expect([found(ward, "g0"), found(ward, "g1")]).toEqual([0, 3]);
  });
});
