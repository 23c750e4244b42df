import { describe, expect, test } from "@jest/globals";
import { completionRequest } from "../../../../../src/agent/runners/openai/payload.js";
import { json } from "../fixtures.js";

describe("completionRequest", () => {
  test("forces model and streaming with usage, and passes every other parameter through", () => {
    const payload = { model: "other", stream: false, messages: [{ role: "user", content: "hi" }], temperature: 0, stream_options: { x: 1, include_usage: false }, n: 2 };
    const request = completionRequest(json(payload), "m");
    if (request.kind !== "request") throw new Error(request.message);
    expect(request.path).toBe("/chat/completions");
    expect(request.choices).toBe(2);
    expect(JSON.parse(request.body)).toEqual({ ...payload, model: "m", stream: true, stream_options: { x: 1, include_usage: true } });
  });

  test("a prompt goes to the completions end point", () => {
    expect(completionRequest(json({ prompt: [1, 2] }), "m")).toMatchObject({ kind: "request", path: "/completions", choices: 1 });
  });

  test.each([
    ["nothing", new Uint8Array(), "empty"],
    ["text", Buffer.from("hello"), "not JSON"],
    ["bytes that are not UTF-8", Buffer.from([0x22, 0xff, 0x22]), "not JSON"],
    ["an array", json([1]), "JSON array"],
    ["a number", json(1), "JSON number"],
    ["null", json(null), "JSON object"],
    ["neither messages nor prompt", json({ text: "x" }), "neither"],
    ["both messages and prompt", json({ messages: [], prompt: "x" }), "both"],
    ["messages that are text", json({ messages: "x" }), '"messages" is not an array'],
    ["a prompt that is a number", json({ prompt: 1 }), '"prompt" is neither'],
  ])("refuses %s and says what to send", (_, payload, words) => {
    const request = completionRequest(payload, "m");
    expect(request.kind).toBe("bad_payload");
    if (request.kind !== "bad_payload") return;
    expect(request.message).toContain(words);
    expect(request.message).toContain('"messages" (chat)');
  });
});
