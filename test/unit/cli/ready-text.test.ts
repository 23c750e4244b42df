import { describe, expect, test } from "@jest/globals";
import { readyText, type ReadyFacts } from "../../../src/cli/ready-text.js";
import { styleOff } from "../../../src/cli/style.js";

const usual: ReadyFacts = { grpc: "127.0.0.1:50051", http: "127.0.0.1:8000", tls: false, wantsKeys: false, data: "data", liveRequests: 0, runnerNames: ["simulated"], madeUp: true, model: "demo", notes: ["simulated: 4 x T4"] };
const shown = (over: Partial<ReadyFacts> = {}): string => readyText({ ...usual, ...over }, styleOff);
/** The lines to copy. */
const tried = (over: Partial<ReadyFacts> = {}): readonly string[] => shown(over).split("Try it:\n")[1]?.split("\n\n")[0]?.split("\n").map((line) => line.trim()) ?? [];

describe("what up prints", () => {
  test("has what was found and lines that need no more on the usual ports", () => {
    expect(shown()).toMatch(/simulated: 4 x T4\n {2}Simulated GPUs answer with made-up results.*\n {2}Runners: {2}simulated\n/);
    expect(tried()).toHaveLength(5);
    expect(tried().at(-1)).toBe("npx gpu-router gpus --watch");
  });

  test("names another port in every line", () => {
    for (const line of tried({ grpc: "127.0.0.1:4000", http: "127.0.0.1:5000" })) expect(line).toMatch(/localhost:4000|127\.0\.0\.1:5000/);
  });

  test("shows the key in every line where the router wants one, and its value in none", () => {
    const [first = "", ...others] = tried({ wantsKeys: true });
    expect(first).toMatch(/^export GPU_ROUTER_API_KEY=…/);
    for (const line of others) expect(line).toMatch(/-H "authorization: Bearer \$GPU_ROUTER_API_KEY"|^npx /);
  });

  test("with TLS says https, and what the command line needs for it", () => {
    expect(shown({ tls: true })).toContain("https://127.0.0.1:8000");
    for (const line of tried({ tls: true })) expect(line).toMatch(/--router NAME:50051 --ca FILE$/);
  });

  test("promises nothing made up where runners are real, and asks for a model of theirs", () => {
    const real = shown({ runnerNames: ["vllm-0"], madeUp: false });
    expect(real).not.toContain("made-up");
    expect(real).toContain("route --model YOUR-MODEL");
    expect(shown({ runnerNames: [] })).toContain("none yet: name some");
    expect(shown({ liveRequests: 3 })).toContain("data, 3 requests taken up again");
  });
});
