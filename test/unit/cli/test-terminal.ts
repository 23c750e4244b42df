// A Terminal in memory: keeps what is written, can be a TTY, can press Ctrl-C, and waits for text to appear.
import { Readable, Writable } from "node:stream";

import { runCli } from "../../../src/cli/run-cli.js";
import type { Terminal, TerminalStream } from "../../../src/cli/terminal.js";

class Recorder extends Writable {
  text = "";
  isTTY?: boolean;
  columns?: number;
  rows?: number;
  readonly #waiting = new Set<() => void>();

  override _write(chunk: Buffer, _encoding: string, callback: () => void): void {
    this.text += chunk.toString();
    for (const check of this.#waiting) check();
    callback();
  }

  /** Resolves when the text matches. */
  async seen(pattern: RegExp): Promise<void> {
    await new Promise<void>((resolve) => {
      const check = (): void => {
        if (!pattern.test(this.text)) return;
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
      check();
    });
  }
}

export interface TestTerminal extends Terminal {
  readonly stdout: Recorder & TerminalStream;
  readonly stderr: Recorder & TerminalStream;
  pressInterrupt(): void;
}

export function testTerminal({ tty = false, stdin = "", env = {} }: { tty?: boolean; stdin?: string; env?: Record<string, string> } = {}): TestTerminal {
  const listeners = new Set<() => void>();
  const recorder = (): Recorder => Object.assign(new Recorder(), tty ? { isTTY: true, columns: 200, rows: 40 } : {});
  return {
    stdin: Readable.from(stdin === "" ? [] : [Buffer.from(stdin)]),
    stdout: recorder(),
    stderr: recorder(),
    env,
    onInterrupt(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    pressInterrupt() {
      for (const listener of Array.from(listeners)) listener();
    },
  };
}

/** Runs the command line to its end. */
export async function run(args: readonly string[], terminal: TestTerminal = testTerminal()): Promise<{ code: number; out: string; err: string }> {
  const code = await runCli(args, terminal);
  return { code, out: terminal.stdout.text, err: terminal.stderr.text };
}
