import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "../../../../src/lib/random.js";
import { blockTokens, PrefixIndex } from "../../../../src/core/fleet/prefix-index.js";

describe("lengths", () => {
  test("are how far a prompt matches what each GPU has read", () => {
    const index = new PrefixIndex();
    index.placed(0, "m", [1, 2, 3, 4]);
    index.placed(2, "m", [1, 2, 9]);
    index.placed(5, "m", [7, 8]);
    expect(Array.from(index.lengths("m", [1, 2, 3, 5]).subarray(0, 6))).toEqual([3, 0, 2, 0, 0, 0]);
    expect(Array.from(index.lengths("m", [7]).subarray(0, 6))).toEqual([0, 0, 0, 0, 0, 1]);
    expect(Array.from(index.lengths("m", [6, 2, 3]).subarray(0, 6))).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test("of the same prompt are new when something was placed meanwhile", () => {
    const index = new PrefixIndex();
    const prompt = [1, 2, 3];
    expect(index.lengths("m", prompt)[1]).toBe(0);
    index.placed(1, "m", [1, 2]);
    expect(index.lengths("m", prompt)[1]).toBe(2);
    index.placed(1, "m", prompt);
    expect(index.lengths("m", prompt)[1]).toBe(3);
  });

  test("reach GPUs beyond the first columns", () => {
    const index = new PrefixIndex();
    index.placed(700, "m", [1, 2]);
    index.placed(3, "m", [1]);
    const lengths = index.lengths("m", [1, 2]);
    expect([lengths[700], lengths[3], lengths[4]]).toEqual([2, 1, 0]);
  });
});

describe("blocks that most have read", () => {
  test("count for nobody, and the blocks behind them count as if they were not there", () => {
    const index = new PrefixIndex();
    for (let gpu = 0; gpu < 64; gpu += 1) index.placed(gpu, "m", [1, 100 + gpu]);
    index.placed(70, "m", [1, 100]);
    const lengths = index.lengths("m", [1, 100, 5]);
    expect([lengths[0], lengths[1], lengths[70], lengths[71]]).toEqual([1, 0, 1, 0]);
  });

  test("below that number they count", () => {
    const index = new PrefixIndex();
    for (let gpu = 0; gpu < 63; gpu += 1) index.placed(gpu, "m", [1, 100 + gpu]);
    const lengths = index.lengths("m", [1, 100, 5]);
    expect([lengths[0], lengths[1], lengths[63]]).toEqual([2, 1, 0]);
  });
});

describe("what is remembered", () => {
  test("is bounded: blocks that nobody used for two generations are forgotten, those in use are not", () => {
    const index = new PrefixIndex(100);
    index.placed(1, "m", [1]);
    index.placed(2, "m", [2]);
    for (let block = 1_000; block < 1_250; block += 1) {
      index.placed(3, "m", [block]);
      if (block % 20 === 0) index.placed(2, "m", [2]);
    }
    expect(index.lengths("m", [1])[1]).toBe(0);
    expect(index.lengths("m", [2])[2]).toBe(1);
    expect(index.lengths("m", [1_000])[3]).toBe(0);
    expect(index.lengths("m", [1_249])[3]).toBe(1);
  });

  test("survives one generation", () => {
    const index = new PrefixIndex(100);
    index.placed(1, "m", [1, 2]);
    for (let block = 1_000; block < 1_120; block += 1) index.placed(3, "m", [block]);
    expect(index.lengths("m", [1, 2, 3])[1]).toBe(2);
  });
});

describe("what another model read, or a GPU has lost", () => {
  const at = (index: PrefixIndex, gpu: number, model = "m"): number => index.lengths(model, [1, 2, 3])[gpu] ?? 0;

  test("is not there: equal blocks are equal within a model", () => {
    const index = new PrefixIndex();
    index.placed(0, "m", [1, 2]);
    index.placed(1, "n", [1]);
    const blocks = [1, 2, 3];
    expect([index.lengths("m", blocks)[0], index.lengths("m", blocks)[1]]).toEqual([2, 0]);
    expect([index.lengths("n", blocks)[0], index.lengths("n", blocks)[1]]).toEqual([0, 1]);
    expect([index.longest("m", blocks), index.longest("n", blocks), index.longest("o", blocks)]).toEqual([2, 1, 0]);
  });

  test("is forgotten for one model or for all of a GPU, and known again once read again", () => {
    const index = new PrefixIndex();
    for (const [gpu, model] of [[0, "m"], [0, "n"], [1, "m"]] as const) index.placed(gpu, model, [1, 2]);
    index.forget(0, "m");
    expect([at(index, 0), at(index, 1), at(index, 0, "n")]).toEqual([0, 2, 2]);
    index.placed(0, "m", [1]);
    expect(at(index, 0)).toBe(1);
    index.forget(0);
    expect([at(index, 0), at(index, 1), at(index, 0, "n")]).toEqual([0, 2, 0]);
  });

  test("stays forgotten while the index grows old, and costs nothing once it has", () => {
    const index = new PrefixIndex(100);
    index.placed(0, "m", [1, 2]);
    index.forget(0, "m");
    for (let block = 1_000; block < 1_150; block += 1) index.placed(3, "m", [block]);
    expect(at(index, 0)).toBe(0);
    index.placed(0, "m", [1, 2, 3]);
    for (let block = 2_000; block < 2_050; block += 1) index.placed(3, "m", [block]);
    expect(at(index, 0)).toBe(3);
  });

  test("does as a plain list of readings would", () => {
    const random = seededRandom(7);
    const below = (most: number): number => Math.floor(random() * most);
    const index = new PrefixIndex();
    let read: { gpu: number; model: string; blocks: readonly number[] }[] = [];
    for (let turn = 0; turn < 2_000; turn += 1) {
      const [gpu, model] = [below(5), `m${below(3)}`];
      if (random() < 0.05) {
        const all = random() < 0.3;
        read = read.filter((each) => each.gpu !== gpu || (!all && each.model !== model));
        index.forget(gpu, all ? null : model);
      }
      const blocks = [1, 10 + below(3), 100 + below(3)];
      blocks[2] = blocks[2]! + 10 * blocks[1]!;
      const lengths = index.lengths(model, blocks);
      for (let each = 0; each < 5; each += 1) {
        const matches = read.filter((reading) => reading.gpu === each && reading.model === model).map((reading) => reading.blocks.findIndex((block, place) => block !== blocks[place])).map((differs) => (differs < 0 ? 3 : differs));
        expect(lengths[each] ?? 0).toBe(Math.max(0, ...matches));
      }
      read.push({ gpu, model, blocks });
      index.placed(gpu, model, blocks);
    }
  });
});

test.each([
  ["of 512 tokens, the last one cut short", 1_000, 2, 512],
  ["of a beginning only", 5_000, 2, 512],
  ["of 16 tokens", 1_000, 62, 1_000 / 62],
  ["of a prompt of unknown length", 0, 3, 512],
])("blocks %s", (_, inputTokens, blocks, tokens) => {
  expect(blockTokens(inputTokens, blocks)).toBe(tokens);
});
