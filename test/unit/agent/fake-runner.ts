// A runner that does nothing but what a test gives it.
import type { Runner } from "../../../src/agent/runners/runner.js";

export function fakeRunner(name: string, over: Partial<Runner> = {}): Runner {
  return {
    name,
    kind: "exec",
    describe: () => ({ models: ["*"], types: [], gpuIds: [] }),
    onChange: () => () => {},
    run: () => Promise.reject(new Error("not in this test")),
    close: () => Promise.resolve(),
    ...over,
  };
}
