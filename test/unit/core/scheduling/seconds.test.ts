// The terms of `hybrid`: seconds that a placement costs, its own and those of others.
import { describe, expect, test } from "@jest/globals";
import type { Fleet } from "../../../../src/core/fleet/fleet.js";
import type { Ask, RequestScorer } from "../../../../src/core/scheduling/contract.js";
import { Prediction } from "../../../../src/core/scheduling/prediction.js";
import { affinitySeconds, delaySeconds, ownSeconds } from "../../../../src/core/scheduling/scorers/seconds.js";
import { ask, fleetOf, inventory, requestId, wishes } from "../build.js";

const NOW = 1_000_000;
const A100 = "NVIDIA A100-SXM4-80GB";
const T4 = "Tesla T4";

function fleet(...names: string[]): Fleet {
  return fleetOf(names.map((name, index) => inventory(`g${index}`, { name })));
}

function put(on: Fleet, gpu: number, id: string, tokens: readonly [number, number], model = "m"): void {
  on.place(gpu, 0);
  const [inputTokens, outputTokens] = tokens;
  on.work.place(gpu, { requestId: requestId(id), modelId: model, inputTokens, cachedTokens: 0, outputTokens, firstDueAtMs: Number.POSITIVE_INFINITY, dueAtMs: Number.POSITIVE_INFINITY }, NOW);
}

/** What a term adds to each GPU, which must be what it says of each. */
function values(scorer: RequestScorer, on: Fleet, wanted: Ask): number[] {
  const gpus = Int32Array.from(on.inventory, (_, gpu) => gpu);
  const totals = new Float64Array(gpus.length);
  scorer.add(on, wanted, gpus, gpus.length, 2, totals);
  const each = [...gpus].map((gpu) => scorer.value(on, wanted, gpu));
  each.forEach((value, gpu) => expect(totals[gpu]).toBeCloseTo(2 * value, 9));
  return each;
}

const tokens = (input: number, output: number): Ask => ask({ nowMs: NOW, tokens: [input, output] });

describe("own_seconds", () => {
  const own = (): RequestScorer => ownSeconds(new Prediction(true));

  test("is the time that the answer takes: prompts before it, its own, and each token beside what runs there", () => {
    const all = fleet(A100, A100, T4);
    put(all, 1, "somebody", [4_000, 400]);
    const [idle, busy, slow] = values(own(), all, tokens(500, 200));
    expect(idle).toBeGreaterThan(1);
    expect(idle).toBeLessThan(5);
    expect(busy).toBeGreaterThan(idle! + 0.2);
    expect(slow).toBeGreaterThan(2 * idle!);
  });

  test("is less where a prompt was read before", () => {
    const both = fleet(A100, A100);
    both.prefixes.placed(1, "m", [1, 2, 3]);
    const [cold, warm] = values(own(), both, ask({ nowMs: NOW, tokens: [2_000, 10], wishes: wishes({ prefixHashes: [1, 2, 3, 4] }) }));
    expect(cold! - warm!).toBeGreaterThan(0.1);
  });

  test("of work without tokens is its time, shared evenly, on a GPU of that speed", () => {
    const all = fleet(A100, A100, T4);
    all.place(1, 0);
    const [idle, shared, slow] = values(own(), all, ask({ nowMs: NOW }));
    expect([idle, shared]).toEqual([1, 2]);
    expect(slow).toBeGreaterThan(2);
  });
});

describe("delay_seconds", () => {
  const delay = (): RequestScorer => delaySeconds(new Prediction(true));

  test("is nothing where nobody is, and more the more are delayed", () => {
    const all = fleet(A100, A100, A100);
    put(all, 1, "one", [10, 500]);
    for (const id of ["a", "b", "c"]) put(all, 2, id, [10, 500]);
    const [none, one, three] = values(delay(), all, tokens(2_000, 100));
    expect(none).toBe(0);
    expect(one).toBeGreaterThan(0.1);
    expect(three).toBeGreaterThan(2.5 * one!);
  });

  test("is more for another model than for theirs, which reads the weights that it shares", () => {
    const one = fleet(A100);
    put(one, 0, "somebody", [10, 500]);
    const [same] = values(delay(), one, tokens(100, 100));
    const [other] = values(delay(), one, ask({ nowMs: NOW, tokens: [100, 100], model: "other" }));
    expect(other).toBeGreaterThan(same! + 1);
  });

  test("of work without tokens is as long as it is for each that is there, on a GPU of that speed", () => {
    const both = fleet(A100, A100, T4);
    for (const gpu of [1, 2]) both.place(gpu, 0);
    const [idle, shared, slow] = values(delay(), both, ask({ nowMs: NOW }));
    expect([idle, shared]).toEqual([0, 1]);
    expect(slow).toBeCloseTo(1 / both.outcomes.relativeSpeed[2]!, 9);
    expect(slow).toBeGreaterThan(1);
  });
});

describe("affinity_seconds", () => {
  const asked = ask({ nowMs: NOW, tokens: [2_000, 10], wishes: wishes({ prefixHashes: [1, 2, 3] }) });

  test("is worth the more the longer the match", () => {
    const all = fleet(A100, A100, A100);
    all.prefixes.placed(1, "m", [1]);
    all.prefixes.placed(2, "m", [1, 2, 3]);
    const [none, short, long] = values(affinitySeconds(new Prediction(true)), all, asked);
    expect(none).toBe(0);
    expect(long).toBeGreaterThan(2 * short!);
  });

  test("is never more than the whole prompt: many blocks are small ones", () => {
    const both = fleet(A100, A100);
    const prefixHashes = Array.from({ length: 40 }, (_, index) => index + 1);
    both.prefixes.placed(0, "m", prefixHashes);
    both.prefixes.placed(1, "m", prefixHashes.slice(0, 4));
    const [all, some] = values(affinitySeconds(new Prediction(true)), both, ask({ nowMs: NOW, tokens: [2_000, 10], wishes: wishes({ prefixHashes }) }));
    expect(all! / some!).toBeCloseTo(40 / 4, 6);
  });

  test("is nothing where the same text was read for another model", () => {
    const one = fleet(A100);
    one.prefixes.placed(0, "other", [1, 2, 3]);
    expect(values(affinitySeconds(new Prediction(true)), one, asked)).toEqual([0]);
  });

  test("counts a conversation more than work in the background or what is late", () => {
    const one = fleet(A100);
    one.prefixes.placed(0, "m", [1, 2, 3]);
    const affinity = (over: Partial<Ask>): number => values(affinitySeconds(new Prediction(true)), one, { ...asked, ...over })[0]!;
    const plain = affinity({});
    expect(affinity({ spec: { ...asked.spec, priority: 1 } })).toBeLessThan(plain);
    expect(affinity({ late: true })).toBeLessThan(plain);
  });

  test("is nothing when it is switched off, for prompts nobody knows, and for work without tokens", () => {
    const one = fleet(A100);
    one.prefixes.placed(0, "m", [1, 2, 3]);
    expect(values(affinitySeconds(new Prediction(false)), one, asked)).toEqual([0]);
    expect(values(affinitySeconds(new Prediction(true)), one, tokens(2_000, 10))).toEqual([0]);
    expect(values(affinitySeconds(new Prediction(true)), one, ask({ wishes: wishes({ prefixHashes: [1] }) }))).toEqual([0]);
  });
});
