// Child processes of the benchmarks: started, read line by line as JSON, ended with the benchmark.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** A child whose standard output is JSON lines. `next(wanted)` resolves with the first line from now on that `wanted` accepts. */
export function startChild(args, options = {}) {
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"], ...options });
  const listeners = new Set();
  createInterface({ input: child.stdout }).on("line", (line) => {
    let value;
    try {
      value = JSON.parse(line);
    } catch {
      return;
    }
    for (const listener of listeners) listener(value);
  });
  const exited = new Promise((resolve) => child.on("exit", (code, signal) => resolve({ code, signal })));
  return {
    child,
    exited,
    on: (listener) => listeners.add(listener),
    next(wanted) {
      return new Promise((resolve, reject) => {
        const listener = (value) => {
          if (!wanted(value)) return;
          listeners.delete(listener);
          resolve(value);
        };
        listeners.add(listener);
        void exited.then(({ code, signal }) => reject(new Error(`${args[0]} ended (${code ?? signal}) before it was ready`)));
      });
    },
    async stop(signal = "SIGTERM") {
      child.kill(signal);
      await exited;
    },
  };
}
