// A simulated GPU node: the production agent in a simulated process, with simulated GPUs and work, behind a simulated network.
import { Agent } from "../../../src/agent/agent.js";
import type { RestartGpu, RestartUnderWay } from "../../../src/agent/gpu-restarts.js";
import type { ModelOrder } from "../../../src/agent/runners/runner.js";
import type { GpuProbeEvent, GpuSample, Probe, ProbedGpu } from "../../../src/agent/probes/probe.js";
import type { RouterTransport } from "../../../src/agent/router-connection.js";
import type { Draw } from "./draw.js";
import type { Executions } from "./executions.js";
import { silentLog } from "./silent-log.js";
import { Connection, type Link, type Listener } from "./simulated-network.js";
import { SimulatedModelServer } from "./simulated-model-server.js";
import { SimulatedWork, type WorkConduct } from "./simulated-work.js";
import { SimulatedProcess, type VirtualTime } from "./virtual-time.js";

export const GPU_MEMORY_MIB = 16_000;

export interface SimulatedNodeOptions {
  readonly nodeId: string;
  readonly gpus: number;
  /** MIG instances that each of its GPUs is divided into; 0 for whole GPUs. */
  readonly instances: number;
  /** What its general runner serves; beside it each GPU has one that serves what it was told to load, unless this is everything. */
  readonly models: readonly string[];
  readonly time: VirtualTime;
  readonly draw: Draw;
  readonly link: Link;
  readonly windowBytes: number;
  readonly executions: Executions;
  readonly conduct: WorkConduct;
  readonly mayRunTwice: (requestId: string) => boolean;
  readonly router: () => Listener | null;
  readonly onOrder: (order: ModelOrder) => void;
  readonly onConnection: (connection: Connection) => void;
  /** A GPU is about to be restarted, which ends what runs on these. */
  readonly onRestart: (restartId: string, gpuIds: readonly string[]) => void;
}

export class SimulatedNode {
  readonly nodeId: string;
  /** Of what takes work: GPUs, or the instances that they are divided into. */
  readonly gpuIds: readonly string[];
  /** As they are plugged in. */
  readonly physicalIds: readonly string[];
  readonly link: Link;
  /** null while the agent is down. */
  process: SimulatedProcess | null = null;
  /** The newest. */
  connection: Connection | null = null;
  agent: Agent | null = null;
  readonly #options: SimulatedNodeOptions;
  readonly #deadGpus = new Set<string>();
  readonly #listeners = new Set<(event: GpuProbeEvent) => void>();
  #work: SimulatedWork | null = null;
  #servers: readonly SimulatedModelServer[] = [];
  #lives = 0;

  constructor(options: SimulatedNodeOptions) {
    this.#options = options;
    this.nodeId = options.nodeId;
    this.link = options.link;
    this.physicalIds = Array.from({ length: options.gpus }, (_, index) => `GPU-simulated-${options.nodeId}-${index}`);
    this.gpuIds = options.instances === 0 ? this.physicalIds : this.physicalIds.flatMap((gpuId) => Array.from({ length: options.instances }, (_, part) => `${gpuId}/${part}`));
  }

  /** What takes work of a GPU that is plugged in. */
  partsOf(physicalId: string): readonly string[] {
    return this.gpuIds.filter((gpuId) => physicalOf(gpuId) === physicalId);
  }

  /** Of each of `gpuIds`. */
  get memoryMib(): number {
    return GPU_MEMORY_MIB / Math.max(1, this.#options.instances);
  }

  start(): void {
    if (this.process) return;
    const { nodeId, time, draw, models, executions, conduct, mayRunTwice, onOrder } = this.#options;
    this.#lives += 1;
    const process = new SimulatedProcess(nodeId, draw.between(-2_000, 2_000), draw.between(0.999, 1.001));
    this.process = process;
    time.after(0, process, () => {
      const gpuWorks = (gpuId: string): boolean => !this.#deadGpus.has(physicalOf(gpuId));
      const work = new SimulatedWork({ nodeId, process, executions, conduct, path: `${nodeId}/${this.#lives}`, models, mayRunTwice, gpuWorks });
      const loads = draw.of(`loads ${this.#lives}`);
      this.#servers = models.includes("*") ? [] : this.gpuIds.map((gpuId) => new SimulatedModelServer(gpuId, work, loads, onOrder));
      this.#work = work;
      this.#listeners.clear();
      const gpus = this.gpuIds.filter(gpuWorks).map((gpuId) => inventoryOf(gpuId, this.memoryMib));
      const restartGpu: RestartGpu = (restart) => this.#restart(restart.restartId, restart.gpuId);
      this.agent = new Agent({ nodeId, routerAddress: "simulated", version: "simulated", probe: this.#probe(), gpus, runners: [work, ...this.#servers], restartGpu, log: silentLog, transport: this.#transport(process) });
      this.agent.start();
    });
  }

  /** Ends the process, its work with it. `silently`: nobody tells the router. */
  kill(silently: boolean): void {
    const { process } = this;
    if (!process) return;
    process.alive = false;
    this.#options.executions.processGone(process);
    if (silently) this.connection?.die();
    else this.connection?.processGone(process);
    this.process = null;
    this.agent = null;
  }

  /** As on SIGTERM; then it is down. */
  stop(graceMs: number): void {
    const { process, agent } = this;
    if (!process || !agent) return;
    this.#options.time.after(0, process, () => void agent.stop(graceMs).then(() => this.process === process && this.kill(false)));
  }

  /** A GPU falls off the bus; what ran on it ends. It is told with the words of the driver, or by being gone. */
  loseGpu(gpuId: string, byXid: boolean): void {
    const { process } = this;
    this.#deadGpus.add(gpuId);
    if (!process) return;
    this.#options.time.after(0, process, () => {
      for (const part of this.partsOf(gpuId)) this.#work?.gpuGone(part);
      this.#tell(byXid ? { kind: "xid", gpuId, xid: 79 } : { kind: "lost", gpuId, reason: "it has fallen off the bus" });
    });
  }

  /** Something that the driver says of a GPU that works on. */
  xid(gpuId: string, xid: number): void {
    if (this.process) this.#options.time.after(0, this.process, () => this.#tell({ kind: "xid", gpuId, xid }));
  }

  /** Somebody loads all models. */
  loadModels(): void {
    const { process } = this;
    if (!process || this.#servers.length === 0) return;
    this.#options.time.after(0, process, () => {
      for (const server of this.#servers) server.loadAll();
    });
  }

  /** Work that would never have ended fails. */
  endHungWork(): void {
    const { process } = this;
    if (process) this.#options.time.after(0, process, () => this.#work?.endHung());
  }

  /** Runs the operator's command, in this process: what is on the GPU ends, and it comes back unless the command fails. */
  #restart(restartId: string, gpuId: string): RestartUnderWay {
    const { conduct } = this.#options;
    const parts = this.partsOf(gpuId);
    const draw = this.#options.draw.of(`restart ${gpuId} ${this.#lives}`);
    const works = !this.#deadGpus.has(gpuId);
    this.#options.onRestart(restartId, parts);
    this.#deadGpus.add(gpuId);
    for (const part of parts) this.#work?.gpuGone(part);
    const ended = new Promise<{ readonly well: boolean; readonly message: string }>((resolve) => {
      setTimeout(() => {
        const well = !draw.chance(conduct.badRestartShare);
        if (well || works) this.#deadGpus.delete(gpuId);
        resolve({ well, message: well ? "" : "The GPU does not come back." });
      }, draw.between(20, conduct.slowestRestartMs));
    });
    return { ended, stop: () => {} };
  }

  repairGpus(): void {
    this.#deadGpus.clear();
  }

  #tell(event: GpuProbeEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #transport(process: SimulatedProcess): RouterTransport {
    const { time, link, windowBytes, router, onConnection } = this.#options;
    return {
      open: () => {},
      openStream: () => {
        const connection = new Connection(time, process, link, windowBytes, router);
        this.connection = connection;
        onConnection(connection);
        // It has what the agent uses of grpc-js's stream.
        return connection.clientEnd as unknown as ReturnType<RouterTransport["openStream"]>;
      },
      // Each stream has a connection of its own here.
      renew: () => {},
      close: () => {},
    };
  }

  #probe(): Probe {
    return {
      kind: "simulated",
      inventory: () => Promise.resolve(this.gpuIds.map((gpuId) => inventoryOf(gpuId, this.memoryMib))),
      sample: () => Promise.resolve(this.gpuIds.filter((gpuId) => !this.#deadGpus.has(physicalOf(gpuId))).map((gpuId) => this.#sampleOf(gpuId))),
      onEvent: (listener) => {
        this.#listeners.add(listener);
        return () => void this.#listeners.delete(listener);
      },
      close: () => Promise.resolve(),
    };
  }

  #sampleOf(gpuId: string): GpuSample {
    const running = this.#options.executions.on(gpuId);
    const weightsMib = this.#servers[this.gpuIds.indexOf(gpuId)]?.memoryMib ?? 0;
    const memoryUsedMib = Math.min(this.memoryMib, running.reduce((sum, { memoryMib }) => sum + memoryMib, weightsMib));
    return {
      gpuId,
      memoryUsedMib,
      memoryFreeMib: this.memoryMib - memoryUsedMib,
      gpuUtilizationPercent: running.length > 0 ? 80 : 0,
      memoryUtilizationPercent: 0,
      temperatureCelsius: 50,
      powerUsageWatts: 200,
      powerLimitWatts: 400,
      clockEventReasons: 0,
      eccCorrected: 0,
      eccUncorrected: 0,
      processes: [],
    };
  }
}

/** The GPU that an instance is part of; the GPU itself when it is whole. */
export function physicalOf(gpuId: string): string {
  return gpuId.split("/", 1)[0] ?? gpuId;
}

function inventoryOf(gpuId: string, memoryTotalMib: number): ProbedGpu {
  const physicalId = physicalOf(gpuId);
  const parentGpuId = physicalId === gpuId ? "" : physicalId;
  return { gpuId, name: "Simulated", computeCapability: "9.0", memoryTotalMib, multiprocessorCount: 132, powerLimitWatts: 400, driverVersion: "0", parentGpuId, simulated: true };
}
