// The agent's end of the NVML process: one process, one call at a time, a time limit on each. Used by `nvml.ts`.
//
// A process and not a worker thread, because a call that hangs in the driver cannot be taken back: a worker stuck in native code
// does not end on terminate() and would hold the agent's own exit, while a process can be killed or, stuck in the kernel, left behind.
import { fork, type ChildProcess } from "node:child_process";
import type { NvmlAnswers, NvmlMessage, NvmlRequest } from "./nvml-protocol.js";
import type { GpuProbeEvent } from "./probe.js";

export interface NvmlClientOptions {
  /** Name or path of the library; "libnvidia-ml.so.1", on Windows "nvml.dll", by default. */
  readonly library?: string;
  /** How long NVML may take to open, ms; 30 s by default: without persistence mode the driver loads first. */
  readonly openTimeoutMs?: number;
  /** How long one GPU may take to answer, ms; 5 s by default. */
  readonly callTimeoutMs?: number;
  /** The compiled `nvml-process.js`; the one beside this file by default. */
  readonly processEntry?: URL;
  /** Environment of the process; that of this one by default. */
  readonly environment?: NodeJS.ProcessEnv;
}

interface Waiting {
  readonly resolve: (answer: NvmlAnswers[NvmlRequest["call"]]) => void;
  readonly reject: (error: Error) => void;
}

const CLOSE_WAIT_MS = 1000;

/** The NVML process ended or was ended, so that nothing more can be asked of it. */
export class NvmlProcessEnded extends Error {
  override readonly name = "NvmlProcessEnded";
}

export class NvmlClient {
  readonly #options: NvmlClientOptions;
  readonly #process: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #ended: NvmlProcessEnded | undefined;

  /** Starts the process. `onEvent` hears of Xid errors once `open` has answered. */
  constructor(options: NvmlClientOptions, onEvent: (event: GpuProbeEvent) => void) {
    this.#options = options;
    this.#process = fork(options.processEntry ?? new URL("./nvml-process.js", import.meta.url), [], {
      execArgv: [],
      serialization: "advanced",
      stdio: ["ignore", "ignore", "inherit", "ipc"],
      ...(options.environment && { env: options.environment }),
    });
    // Neither keeps the agent from ending; a call under way does, by its timer.
    this.#process.unref();
    this.#process.channel?.unref();
    this.#process.on("message", (message: NvmlMessage) => {
      if (message.kind === "event") onEvent(message.event);
      else this.#settle(message);
    });
    this.#exited = new Promise((resolve) => {
      this.#process.once("exit", (code, signal) => {
        this.#end(`the process that asks NVML ended (${signal ?? `exit code ${code}`}). The NVIDIA library may have crashed.`);
        resolve();
      });
      this.#process.on("error", (error) => {
        this.#end(`the process that asks NVML does not start: ${error.message}`);
        resolve();
      });
    });
  }

  /** Whether it can be asked no more. */
  get ended(): boolean {
    return this.#ended !== undefined;
  }

  /** Resolves when the operating system is done with the process; a process stuck in the driver may take until the next boot. */
  get exited(): Promise<void> {
    return this.#exited;
  }

  /** UUIDs of the physical GPUs. Rejects with what to do when NVML cannot be used. */
  open(): Promise<NvmlAnswers["open"]> {
    const library = this.#options.library ?? (process.platform === "win32" ? "nvml.dll" : "libnvidia-ml.so.1");
    return this.#ask({ id: this.#nextId, call: "open", library }, this.#options.openTimeoutMs ?? 30_000) as Promise<NvmlAnswers["open"]>;
  }

  /** Rejects when the GPU does not answer; with NvmlProcessEnded when NVML as a whole does not. */
  read(uuid: string): Promise<NvmlAnswers["read"]> {
    return this.#ask({ id: this.#nextId, call: "read", uuid }, this.#options.callTimeoutMs ?? 5000) as Promise<NvmlAnswers["read"]>;
  }

  /** Ends the process, and waits a second at most for it to be gone. */
  async close(): Promise<void> {
    this.#end("NVML was closed.");
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_WAIT_MS);
    });
    await Promise.race([this.#exited, late]);
    clearTimeout(timer);
  }

  #ask(request: NvmlRequest, timeoutMs: number): Promise<NvmlAnswers[NvmlRequest["call"]]> {
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      if (this.#ended) throw this.#ended;
      const timer = setTimeout(() => {
        const what = request.call === "open" ? "NVML did not open" : `NVML did not answer for ${request.uuid}`;
        this.#end(`${what} within ${timeoutMs} ms. The NVIDIA driver may hang: look for "NVRM: Xid" in the kernel log.`);
      }, timeoutMs);
      this.#waiting.set(request.id, {
        resolve: (answer) => {
          clearTimeout(timer);
          resolve(answer);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
      this.#process.send(request, (error) => error && this.#end(`the process that asks NVML cannot be reached: ${error.message}`));
    });
  }

  #settle(message: Exclude<NvmlMessage, { kind: "event" }>): void {
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.kind === "answer") waiting?.resolve(message.answer);
    else waiting?.reject(new Error(message.message));
  }

  #end(why: string): void {
    if (this.#ended) return;
    this.#ended = new NvmlProcessEnded(why);
    this.#process.kill("SIGKILL");
    if (this.#process.connected) this.#process.disconnect();
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
  }
}
