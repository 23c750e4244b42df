import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import { SessionIndex } from "../../../../src/core/fleet/session-index.js";
import type { UserId } from "../../../../src/core/model/ids.js";
import { spec, wishes } from "../build.js";

/** A turn of a session. */
const turn = (sessionKey: string, { user = "ann", model = "m" } = {}) => spec("r", { userId: user as UserId, model, wishes: wishes({ sessionKey }) });

describe("where the context of a session lies", () => {
  test("is where its last turn was placed, as long as that prompt, then as prompt and answer", () => {
    const sessions = new SessionIndex();
    expect(sessions.contextOf(turn("chat"), 0)).toBeNull();
    sessions.placed(turn("chat"), 3, 700, 0);
    expect(sessions.contextOf(turn("chat"), 1)).toMatchObject({ gpu: 3, tokens: 700 });
    sessions.ended(turn("chat"), 3, 950, 2);
    expect(sessions.contextOf(turn("chat"), 3)).toMatchObject({ gpu: 3, tokens: 950 });
    sessions.placed(turn("chat"), 1, 1_100, 4);
    expect(sessions.contextOf(turn("chat"), 5)).toMatchObject({ gpu: 1, tokens: 1_100 });
  });

  test("is not moved back by a turn that ends after another was placed elsewhere", () => {
    const sessions = new SessionIndex();
    sessions.placed(turn("chat"), 0, 500, 0);
    sessions.placed(turn("chat"), 1, 600, 1);
    sessions.ended(turn("chat"), 0, 9_000, 2);
    expect(sessions.contextOf(turn("chat"), 3)).toMatchObject({ gpu: 1, tokens: 600 });
  });

  test("is learned at the end where nobody knew before how long the prompt is", () => {
    const sessions = new SessionIndex();
    sessions.placed(turn("chat"), 0, 0, 0);
    expect(sessions.contextOf(turn("chat"), 0)).toBeNull();
    sessions.ended(turn("chat"), 0, 800, 1);
    expect(sessions.contextOf(turn("chat"), 1)).toMatchObject({ gpu: 0, tokens: 800 });
  });

  test("is one user's and one model's: the same key of others is another session", () => {
    const sessions = new SessionIndex();
    sessions.placed(turn("chat"), 0, 500, 0);
    expect([turn("chat", { user: "bob" }), turn("chat", { model: "other" }), turn("chat 2"), spec("r")].map((each) => sessions.contextOf(each, 1))).toEqual([null, null, null, null]);
  });

  test("is forgotten half an hour after the last turn", () => {
    const sessions = new SessionIndex();
    sessions.placed(turn("chat"), 0, 500, 0);
    expect(sessions.contextOf(turn("chat"), 1_800_000)).not.toBeNull();
    expect(sessions.contextOf(turn("chat"), 1_800_001)).toBeNull();
  });

  test("is forgotten with the GPU, and with the model there", () => {
    const sessions = new SessionIndex();
    sessions.placed(turn("a"), 0, 500, 0);
    sessions.placed(turn("b", { model: "other" }), 0, 500, 0);
    sessions.placed(turn("c"), 1, 500, 0);
    sessions.forget(0, "other");
    expect(["a", "b", "c"].map((key) => sessions.contextOf(turn(key, { model: key === "b" ? "other" : "m" }), 0)?.gpu)).toEqual([0, undefined, 1]);
    sessions.forget(0);
    expect(["a", "c"].map((key) => sessions.contextOf(turn(key), 0)?.gpu)).toEqual([undefined, 1]);
  });
});

test("sessions are bounded: the one that was used longest ago goes first", () => {
  const sessions = new SessionIndex(2);
  for (const key of ["a", "b", "a", "c"]) sessions.placed(turn(key), 0, 500, 0);
  expect(["a", "b", "c"].map((key) => sessions.contextOf(turn(key), 0) !== null)).toEqual([true, false, true]);
  expect(sessions.size).toBe(2);
});

test("whatever happens, it says what a plain list of what happened says", () => {
  const step = fc.record({ do: fc.constantFrom("placed", "ended", "forget", "forgetModel"), key: fc.nat(3), user: fc.nat(1), model: fc.nat(1), gpu: fc.nat(2), tokens: fc.integer({ min: 1, max: 9 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const sessions = new SessionIndex();
      let known: { readonly name: string; readonly model: string; readonly gpu: number; readonly tokens: number }[] = [];
      for (const { do: what, key, user, model, gpu, tokens } of steps) {
        const of = turn(`k${key}`, { user: `u${user}`, model: `m${model}` });
        const name = `${user}${key}${model}`;
        const before = known.find((each) => each.name === name);
        if (what === "forget") known = known.filter((each) => each.gpu !== gpu);
        else if (what === "forgetModel") known = known.filter((each) => each.gpu !== gpu || each.model !== `m${model}`);
        else if (what === "placed" || !before || before.gpu === gpu) {
          const longest = what === "ended" ? Math.max(before?.tokens ?? 0, tokens) : tokens;
          known = [...known.filter((each) => each !== before), { name, model: `m${model}`, gpu, tokens: longest }];
        }
        if (what === "placed") sessions.placed(of, gpu, tokens, 0);
        else if (what === "ended") sessions.ended(of, gpu, tokens, 0);
        else sessions.forget(gpu, what === "forget" ? undefined : `m${model}`);
        const context = sessions.contextOf(of, 0);
        const expected = known.find((each) => each.name === name);
        expect(context && { gpu: context.gpu, tokens: context.tokens }).toEqual(expected ? { gpu: expected.gpu, tokens: expected.tokens } : null);
        expect(sessions.size).toBe(known.length);
      }
    }),
    { seed: 5, numRuns: 300 },
  );
});
