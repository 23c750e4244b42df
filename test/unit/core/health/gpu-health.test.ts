import { describe, expect, test } from "@jest/globals";
import { GpuHealth, type Sign } from "../../../../src/core/health/gpu-health.js";

const TIMES = { cooldownMs: 300_000, maxCooldownMs: 1_000_000, recoveryMs: 10_000, probePatienceMs: 30_000, slowStartMs: 60_000 };
const START = 1_000_000;

const WARM: Sign = { demand: "degraded", text: "warm", standing: true };
const HOT: Sign = { demand: "draining", text: "hot", standing: true };
const BROKEN: Sign = { demand: "draining", text: "Xid 48", needsReset: true };
const DEAD: Sign = { demand: "quarantined", text: "Xid 79", needsReset: true };
const SILENT: Sign = { demand: "quarantined", text: "does not answer", needsReset: true, standing: true };
const FAILING: Sign = { demand: "quarantined", text: "fails", statistical: true };

/** A GPU and a clock that the test moves. */
class Bed {
  readonly health = new GpuHealth(TIMES);
  nowMs = START;
  active = 0;

  /** Lets time pass in steps of a second, as ticks do. */
  pass(ms: number): this {
    const endMs = this.nowMs + ms;
    while (this.nowMs < endMs) {
      this.nowMs = Math.min(endMs, this.nowMs + 1_000);
      this.health.settle(this.active, this.nowMs);
    }
    return this;
  }

  raise(sign: Sign): this {
    this.health.raise("xid", sign);
    this.health.settle(this.active, this.nowMs);
    return this;
  }

  clear(): this {
    this.health.clear("xid");
    this.health.settle(this.active, this.nowMs);
    return this;
  }

  try(succeeded: boolean): this {
    this.health.tried(succeeded, "server_error", this.nowMs);
    this.health.settle(this.active, this.nowMs);
    return this;
  }

  get slots(): number {
    return this.health.slotsAt(8, this.nowMs);
  }

  /** The states it went through, with the evidence. */
  get way(): string[] {
    return this.health.history.map(({ to, reason }) => `${to}: ${reason}`);
  }
}

describe("getting worse happens at once", () => {
  test.each<[string, Sign, number, string, number]>([
    ["a warning degrades", WARM, 3, "degraded: warm", Number.POSITIVE_INFINITY],
    ["heat lets nothing new in", HOT, 0, "draining: hot", 0],
    ["what needs a reset drains while there is work", BROKEN, 3, "draining: Xid 48", 0],
    ["and is out at once where there is none", BROKEN, 0, "quarantined: Xid 48", 0],
    ["what is fatal is out, work or not", DEAD, 3, "quarantined: Xid 79", 0],
  ])("%s", (_, sign, active, way, slots) => {
    const bed = new Bed();
    bed.active = active;
    bed.raise(sign);
    expect([bed.way, bed.slots]).toEqual([[way], slots]);
  });

  test("a GPU that needs a reset is quarantined when its last work has ended", () => {
    const bed = new Bed();
    bed.active = 1;
    bed.raise(BROKEN).pass(600_000);
    expect(bed.health.state).toBe("draining");
    bed.active = 0;
    expect(bed.pass(1).way).toEqual(["draining: Xid 48", "quarantined: Xid 48"]);
  });
});

describe("getting better takes time", () => {
  test("a degraded GPU is healthy when nothing was wrong for the recovery time", () => {
    const bed = new Bed().raise(WARM).clear().pass(9_000);
    expect(bed.health.state).toBe("degraded");
    expect(bed.pass(1_000).way).toEqual(["degraded: warm", "healthy: nothing is wrong any more"]);
  });

  test("a relapse within the recovery time starts it anew", () => {
    const bed = new Bed().raise(WARM).clear().pass(9_000).raise(WARM).clear().pass(9_000);
    expect(bed.way).toEqual(["degraded: warm"]);
  });

  test("a hot GPU that is warm is degraded after the recovery time, not healthy", () => {
    expect(new Bed().raise(HOT).raise(WARM).pass(10_000).way).toEqual(["draining: hot", "degraded: warm"]);
  });

  test("a sign that passes by itself does so at its time", () => {
    const bed = new Bed().raise({ ...WARM, standing: false, untilMs: START + 60_000 }).pass(69_000);
    expect(bed.health.state).toBe("degraded");
    expect(bed.pass(2_000).health.state).toBe("healthy");
  });
});

describe("quarantine", () => {
  test("lasts for the cool-down, then comes probation with one slot", () => {
    const bed = new Bed().raise(DEAD).pass(299_000);
    expect([bed.health.state, bed.slots, bed.health.untilMs]).toEqual(["quarantined", 0, START + 300_000]);
    bed.pass(1_000);
    expect([bed.health.state, bed.slots, bed.health.isProbing, bed.health.untilMs]).toEqual(["probation", 1, true, 0]);
  });

  test("lasts for as long as what is wrong is still to be seen", () => {
    const bed = new Bed().raise(SILENT).pass(10_000_000);
    expect(bed.health.state).toBe("quarantined");
    expect(bed.clear().health.state).toBe("probation");
  });

  test("counts from the last time that it happened", () => {
    const bed = new Bed().raise(DEAD).pass(200_000).raise(DEAD);
    expect([bed.health.untilMs, bed.health.strikes, bed.way.length]).toEqual([START + 500_000, 1, 1]);
  });

  test("a GPU that was reset need not wait for its end", () => {
    const bed = new Bed().raise(DEAD).pass(5_000);
    bed.health.restarted("its node was started anew", bed.nowMs);
    expect(bed.way).toEqual(["quarantined: Xid 79", "probation: its node was started anew"]);
  });

  test("a restart does not help what no reset helps, such as failing work", () => {
    const bed = new Bed().raise(FAILING).pass(5_000);
    bed.health.restarted("its node was started anew", bed.nowMs);
    expect(bed.health.state).toBe("quarantined");
  });

  test("a GPU that drains for a reset and gets it proves itself at once", () => {
    const bed = new Bed();
    bed.active = 1;
    bed.raise(BROKEN);
    bed.health.restarted("reset", bed.nowMs);
    expect(bed.way).toEqual(["draining: Xid 48", "probation: reset"]);
  });

  test("that follows soon after another is twice as long, up to the longest, and a restart does not cut it short", () => {
    const bed = new Bed();
    const lengths = [0, 1, 2, 3].map(() => {
      bed.raise(DEAD);
      const length = bed.health.untilMs - bed.nowMs;
      bed.pass(length);
      expect(bed.health.state).toBe("probation");
      return length;
    });
    expect(lengths).toEqual([300_000, 600_000, 1_000_000, 1_000_000]);
    bed.raise(DEAD);
    bed.health.restarted("again", bed.nowMs);
    expect(bed.health.state).toBe("quarantined");
  });

  test("is as short as the first again after as long a time of health", () => {
    const bed = new Bed().raise(DEAD).pass(300_000).try(true).pass(60_000);
    expect([bed.health.state, bed.health.strikes]).toEqual(["healthy", 1]);
    expect(bed.pass(300_000).health.strikes).toBe(0);
  });
});

describe("probation", () => {
  const onProbation = (): Bed => new Bed().raise(FAILING).pass(300_000);

  test("a passed probe opens the slots one by one over the slow start", () => {
    const bed = onProbation().try(true);
    const slots = [0, 7_500, 7_500, 30_000].map((ms) => bed.pass(ms).slots);
    expect(slots).toEqual([1, 1, 2, 6]);
    expect(bed.pass(15_000).way.at(-1)).toBe("healthy: its slow start is over");
    expect(bed.slots).toBe(Number.POSITIVE_INFINITY);
  });

  test("its part of a score grows with them", () => {
    const bed = onProbation();
    const factors = [bed.health.factorAt(bed.nowMs)];
    bed.try(true);
    factors.push(bed.health.factorAt(bed.nowMs), bed.pass(30_000).health.factorAt(bed.nowMs), bed.pass(30_000).health.factorAt(bed.nowMs));
    expect(factors).toEqual([0.25, 0.5, 0.75, 1]);
  });

  test("a failed probe means twice the cool-down", () => {
    const bed = onProbation().try(false);
    expect(bed.way.at(-1)).toBe("quarantined: failed in probation: server_error");
    expect(bed.health.untilMs - bed.nowMs).toBe(600_000);
  });

  test("a failure during the slow start does too", () => {
    const bed = onProbation().try(true).pass(30_000).try(false);
    expect([bed.health.state, bed.health.strikes]).toEqual(["quarantined", 2]);
  });

  test("without anybody who can be the probe the slow start begins by itself", () => {
    const bed = onProbation().pass(29_000);
    expect(bed.health.isProbing).toBe(true);
    expect([bed.pass(1_000).health.isProbing, bed.slots]).toEqual([false, 1]);
    expect(bed.pass(60_000).health.state).toBe("healthy");
  });

  test("a probe that runs is waited for", () => {
    const bed = onProbation();
    bed.active = 1;
    expect(bed.pass(600_000).health.isProbing).toBe(true);
  });

  test("ends in degraded where something small is still wrong, and in quarantine where it is worse", () => {
    const bed = onProbation().try(true).raise(WARM).pass(60_000);
    expect(bed.way.at(-1)).toBe("degraded: warm");
    expect(onProbation().raise(HOT).way.at(-1)).toBe("quarantined: hot");
  });

  test("counts as out by statistics until it is over, where statistics put it there", () => {
    const bed = onProbation();
    expect(bed.health.isOutByStatistics).toBe(true);
    expect(bed.try(false).health.isOutByStatistics).toBe(true);
    expect(bed.pass(600_000).try(true).pass(60_000).health.isOutByStatistics).toBe(false);
    expect(new Bed().raise(DEAD).health.isOutByStatistics).toBe(false);
  });
});

test("the history keeps the last sixteen changes", () => {
  const bed = new Bed();
  for (let turn = 0; turn < 12; turn += 1) bed.raise(WARM).clear().pass(10_000);
  expect(bed.health.history).toHaveLength(16);
  expect(bed.health.history.at(-1)).toMatchObject({ from: "degraded", to: "healthy", atMs: bed.nowMs });
});
