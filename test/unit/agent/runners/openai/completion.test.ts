import { describe, expect, test } from "@jest/globals";
import { Completion } from "../../../../../src/agent/runners/openai/completion.js";

function shown(completion: Completion): Record<string, unknown> {
  return JSON.parse(new TextDecoder().decode(completion.toJson())) as Record<string, unknown>;
}

describe("Completion", () => {
  test("joins deltas, takes usage from the last chunk that has it, and ignores what it does not know", () => {
    const completion = new Completion(1000);
    expect(completion.add({ model: "m", choices: [{ index: 0, delta: { role: "assistant", content: "" } }] })).toEqual({ kind: "text", text: "" });
    expect(completion.add({ choices: [{ index: 0, delta: { content: "Hel" } }] })).toEqual({ kind: "text", text: "Hel" });
    completion.add({ choices: [{ index: 0, delta: { content: "lo", logprobs: {} }, finish_reason: null }], usage: { prompt_tokens: 1, completion_tokens: 1 } });
    expect(completion.finished(1)).toBe(false);
    completion.add({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
    completion.add({ choices: [], usage: { prompt_tokens: 5, completion_tokens: 2 } });
    expect(completion.finished(1)).toBe(true);
    expect(completion.usage).toEqual({ inputTokens: 5, outputTokens: 2 });
    expect(shown(completion)).toEqual({ text: "Hello", finish_reason: "stop", usage: { prompt_tokens: 5, completion_tokens: 2 }, model: "m" });
  });

  test("reasoning is kept apart from the text and is not live output", () => {
    const completion = new Completion(1000);
    expect(completion.add({ choices: [{ delta: { reasoning_content: "hm", content: null } }] })).toEqual({ kind: "text", text: "" });
    completion.add({ choices: [{ delta: { content: "42" }, finish_reason: "stop" }] });
    expect(shown(completion)).toMatchObject({ text: "42", reasoning: "hm" });
  });

  test("tool calls are put together from their pieces", () => {
    const completion = new Completion(1000);
    completion.add({ choices: [{ delta: { tool_calls: [{ index: 0, id: "c1", function: { name: "f", arguments: '{"a"' } }] } }] });
    completion.add({ choices: [{ delta: { tool_calls: [{ index: 0, function: { arguments: ":1}" } }, { index: 1, id: "c2", function: { name: "g", arguments: "{}" } }] } }] });
    expect(shown(completion)["tool_calls"]).toEqual([
      { id: "c1", type: "function", function: { name: "f", arguments: '{"a":1}' } },
      { id: "c2", type: "function", function: { name: "g", arguments: "{}" } },
    ]);
  });

  test("several choices stay apart, and it is finished when all are", () => {
    const completion = new Completion(1000);
    completion.add({ choices: [{ index: 1, text: "b", finish_reason: "stop" }] });
    expect(completion.add({ choices: [{ index: 0, text: "a" }] })).toEqual({ kind: "text", text: "a" });
    expect(completion.finished(2)).toBe(false);
    completion.add({ choices: [{ index: 0, text: "", finish_reason: "length" }] });
    expect(completion.finished(2)).toBe(true);
    expect(shown(completion)).toMatchObject({ text: "a", choices: [{ index: 0, text: "a", finish_reason: "length" }, { index: 1, text: "b", finish_reason: "stop" }] });
  });

  test.each([
    [{ error: { message: "no", code: 400 } }, { kind: "error", status: 400, message: "no" }],
    [{ error: "no" }, { kind: "error", status: 0, message: "no" }],
    [{ object: "error", message: "no", code: 503 }, { kind: "error", status: 503, message: "no" }],
    [{ error: { code: "weird" } }, { kind: "error", status: 0, message: '{"error":{"code":"weird"}}' }],
  ])("an error inside the stream is told from text: %j", (chunk, expected) => {
    expect(new Completion(1000).add(chunk)).toEqual(expected);
  });

  test.each([[null], [1], ["x"], [[]], [{}], [{ choices: null }], [{ choices: [null, 1, { delta: 5 }] }], [{ choices: [{ index: 1e9, text: "x" }] }], [{ usage: 7, model: 7 }]])(
    "a chunk of unknown shape is skipped: %j",
    (chunk) => {
      const completion = new Completion(1000);
      expect(completion.add(chunk)).toEqual({ kind: "text", text: "" });
      expect(shown(completion)).toEqual({ text: "", finish_reason: null, usage: null, model: "" });
    },
  );

  test("all kept text together is bounded", () => {
    const completion = new Completion(10);
    expect(completion.add({ choices: [{ delta: { content: "12345", reasoning: "12345" } }] })).toMatchObject({ kind: "text" });
    expect(completion.add({ choices: [{ delta: { tool_calls: [{ index: 0, function: { arguments: "1" } }] } }] })).toEqual({ kind: "too_large" });
  });
});
