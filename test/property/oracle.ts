// What must be true of the records and effects of any run, judged from them and the events alone: never from the engine's state.
import { assert } from "../../src/lib/assert.js";
import type { Event, Step } from "../../src/core/events.js";
import type { RunnerInfo } from "../../src/core/model/gpu.js";
import { isExclusive, wishesOf, type RequestSpec } from "../../src/core/model/request.js";
import type { Record } from "../../src/core/records.js";
import type { CoreSettings } from "../../src/core/settings.js";

interface Life {
  readonly spec: RequestSpec;
  attempt: number;
  /** Where its live attempt is; null while it waits. */
  at: { readonly gpuIds: readonly string[]; readonly nodeId: string; readonly memoryMib: number } | null;
  started: boolean;
  stopping: boolean;
  startedAtMs: number;
  /** Attempts that were stopped for somebody. */
  preemptions: number;
  /** The attempt that was told to stop for somebody, 0 for none. */
  toldToStop: number;
  placedAtMs: number;
  answered: boolean;
  /** The agent process that was given its attempt; "" when a router took it over. */
  instanceId: string;
  /** The attempt that this very process said it does not hold, 0 for none. */
  disowned: number;
}

interface KnownNode {
  connected: boolean;
  readonly instanceId: string;
  gpus: ReadonlySet<string>;
  runners: readonly RunnerInfo[];
}

interface KnownGpu {
  readonly memoryTotalMib: number;
  readonly computeCapability: number;
  nodeId: string;
}

export class Oracle {
  readonly lives = new Map<string, Life>();
  readonly ended = new Set<string>();
  readonly #settings: CoreSettings;
  readonly #nodes = new Map<string, KnownNode>();
  readonly #gpus = new Map<string, KnownGpu>();
  /** By index. */
  readonly #indexes: string[] = [];
  /** When a node's agent process was last heard, by "node instance"; while it is connected it is heard. */
  readonly #heardUntil = new Map<string, number>();

  constructor(settings: CoreSettings) {
    this.#settings = settings;
  }

  isConnected(nodeId: string): boolean {
    return this.#nodes.get(nodeId)?.connected ?? false;
  }

  /** Whether `ref` on `nodeId` is a live attempt. */
  isPresent(nodeId: string, ref: { readonly requestId: string; readonly attempt: number }): boolean {
    const life = this.lives.get(ref.requestId);
    return life?.at?.nodeId === nodeId && life.attempt === ref.attempt;
  }

  /** A new router knows of no connection. */
  restarted(nowMs: number): void {
    for (const [nodeId, node] of this.#nodes) {
      if (node.connected) this.#heardUntil.set(`${nodeId} ${node.instanceId}`, nowMs);
      node.connected = false;
    }
    // Nor of whom it told to stop for others.
    for (const life of this.lives.values()) life.toldToStop = 0;
  }

  judge(event: Event, step: Step, nowMs: number): void {
    this.#hear(event, nowMs);
    const present = event.kind === "attempt_ended" && this.isPresent(event.nodeId, event.ref);
    for (const record of step.records) {
      if (record.kind === "attempt_failed") this.#judgeLoss(record, event, nowMs);
      this.#fold(record);
    }
    this.#judgeEffects(step);
    if (event.kind === "tick") this.#judgePreemption(step, nowMs);
    if (event.kind === "attempt_ended") this.#judgeEnd(event, present, step);
    if (event.kind === "submit") assert(step.submitted !== null, "a submit has an outcome");
  }

  /** What must not run twice is given up only by its own agent's word, or when that has certainly stopped it. */
  #judgeLoss(record: Extract<Record, { kind: "attempt_failed" }>, event: Event, nowMs: number): void {
    const life = this.#life(record.requestId);
    if (life.spec.idempotent || !life.at || event.kind === "attempt_ended") return;
    const { nodeId } = life.at;
    if (event.kind === "node_connected" && event.nodeId === nodeId && event.instanceId === life.instanceId) return;
    if (life.disowned === record.attempt) return;
    const heardUntilMs = this.#heardUntil.get(`${nodeId} ${life.instanceId}`) ?? Number.NEGATIVE_INFINITY;
    assert(nowMs - heardUntilMs >= this.#settings.fencedAfterMs, "what must not run twice is given up when its agent has stopped it");
  }

  #hear(event: Event, nowMs: number): void {
    if (event.kind === "node_connected") {
      const before = this.#nodes.get(event.nodeId);
      if (before?.connected) this.#heardUntil.set(`${event.nodeId} ${before.instanceId}`, nowMs);
      this.#heardUntil.set(`${event.nodeId} ${event.instanceId}`, Number.POSITIVE_INFINITY);
      this.#nodes.set(event.nodeId, { connected: true, instanceId: event.instanceId, gpus: new Set(event.gpus.map((gpu) => gpu.gpuId)), runners: event.runners });
      for (const [requestId, life] of this.lives) {
        if (life.at?.nodeId !== event.nodeId || life.instanceId !== event.instanceId) continue;
        const holds = event.held.some((ref) => ref.requestId === requestId && ref.attempt === life.attempt);
        life.disowned = holds ? 0 : life.attempt;
      }
      for (const { gpuId, memoryTotalMib, computeCapability } of event.gpus) this.#gpus.set(gpuId, { memoryTotalMib, computeCapability, nodeId: event.nodeId });
    } else if (event.kind === "node_disconnected") {
      const node = this.#nodes.get(event.nodeId);
      if (node?.connected) this.#heardUntil.set(`${event.nodeId} ${node.instanceId}`, nowMs - (event.silentMs ?? 0));
      if (node) node.connected = false;
    } else if (event.kind === "runners_changed") {
      const node = this.#nodes.get(event.nodeId);
      if (node) node.runners = event.runners;
    }
  }

  #fold(record: Record): void {
    switch (record.kind) {
      case "accepted":
        assert(!this.lives.has(record.spec.requestId) && !this.ended.has(record.spec.requestId), "a request is accepted once");
        this.lives.set(record.spec.requestId, { spec: record.spec, attempt: 0, at: null, started: false, stopping: false, startedAtMs: 0, preemptions: 0, toldToStop: 0, placedAtMs: 0, answered: false, instanceId: "", disowned: 0 });
        return;
      case "placed":
        this.#judgePlacement(record);
        return;
      case "started": {
        const life = this.#life(record.requestId);
        assert(life.at !== null && life.attempt === record.attempt && !life.started, "only a placed attempt starts, once");
        life.started = true;
        life.startedAtMs = record.atMs;
        return;
      }
      case "answered": {
        const life = this.#life(record.requestId);
        assert(life.at !== null && life.attempt === record.attempt && !life.answered, "the live attempt answers once");
        life.answered = true;
        return;
      }
      case "stop_requested": {
        const life = this.#life(record.requestId);
        assert(!life.stopping, "the first wish stands");
        life.stopping = true;
        return;
      }
      case "attempt_failed": {
        const life = this.#life(record.requestId);
        assert(life.at !== null && life.attempt === record.attempt, "only the live attempt fails");
        assert(!life.stopping, "what is to stop is not retried");
        if (record.preempted) {
          assert(life.toldToStop === record.attempt, "what was stopped for somebody was told to");
          life.preemptions += 1;
        } else {
          assert(record.attempt - life.preemptions <= this.#settings.maxRetries, "there are at most max_retries retries");
        }
        life.at = null;
        life.started = false;
        return;
      }
      case "ended":
        this.#life(record.requestId);
        this.lives.delete(record.requestId);
        this.ended.add(record.requestId);
        return;
      case "gpu_retired": {
        const gpuId = this.#indexes[record.index];
        const { nodeId } = this.#gpus.get(gpuId ?? "") ?? {};
        const node = this.#nodes.get(nodeId ?? "");
        assert(gpuId !== undefined && !(node?.connected && node.gpus.has(gpuId)), "only what is gone is forgotten");
        assert(![...this.lives.values()].some(({ at }) => at?.gpuIds.includes(gpuId)), "what holds work is not forgotten");
        return;
      }
      case "gpu_registered":
        this.#indexes[record.index] = record.inventory.gpuId;
        return;
      case "epoch_started":
      case "state_digest":
    }
  }

  #judgePlacement(record: Extract<Record, { kind: "placed" }>): void {
    const { maxConcurrentTasksPerGpu, memoryThreshold } = this.#settings;
    const life = this.#life(record.requestId);
    assert(life.at === null, "at most one attempt is live");
    assert(record.attempt === life.attempt + 1, "attempts count up by one");
    assert(!life.stopping, "what is to stop is not placed");
    const { modelId, specificGpuId, requirements } = life.spec;
    const gpuIds = record.gpuIds ?? [record.gpuId];
    assert(gpuIds[0] === record.gpuId && new Set(gpuIds).size === wishesOf(life.spec).gpus, "work gets as many GPUs as it asks for, all at once");
    assert(gpuIds.every((gpuId, place) => record.decision.candidates[place]?.gpuId === gpuId), "the decision's first candidates are the choice");
    const nodeIds = new Set(gpuIds.map((gpuId) => this.#gpus.get(gpuId)?.nodeId));
    const nodeId = [...nodeIds][0];
    assert(nodeIds.size === 1 && nodeId !== undefined, "all GPUs of an attempt are of one node");
    const node = this.#nodes.get(nodeId);
    const runner = node?.runners.find((one) => (one.models.includes("*") || one.models.includes(modelId)) && gpuIds.every((gpuId) => one.gpuIds.length === 0 || one.gpuIds.some((id) => id === gpuId)));
    assert(node !== undefined && runner !== undefined, "one runner serves the model on all of them");
    for (const gpuId of gpuIds) {
      const gpu = this.#gpus.get(gpuId)!;
      assert(node.connected && node.gpus.has(gpuId), "work goes to GPUs that a connected node reports");
      assert(specificGpuId === "" || specificGpuId === gpuId, "a pin is kept");
      assert(gpu.computeCapability >= requirements.minComputeCapability, "the GPU is capable");
      const beside = [...this.lives.values()].filter((other) => other.at?.gpuIds.includes(gpuId));
      assert(beside.length < maxConcurrentTasksPerGpu, "no GPU is above its slots");
      assert(beside.length === 0 || ![life, ...beside].some(({ spec }) => isExclusive(spec, this.#settings.exclusiveTypes)), "who has a GPU to itself shares it with nobody");
      const reservedMib = beside.reduce((sum, other) => sum + (other.at?.memoryMib ?? 0), record.memoryMib);
      assert(record.memoryMib === 0 || reservedMib <= gpu.memoryTotalMib * memoryThreshold, "no GPU is above its memory threshold");
    }
    life.attempt = record.attempt;
    life.placedAtMs = record.atMs;
    life.answered = false;
    life.instanceId = node.instanceId;
    life.at = { gpuIds, nodeId, memoryMib: record.memoryMib };
    life.started = false;
  }

  #judgeEffects(step: Step): void {
    const placed = step.records.flatMap((record) => (record.kind === "placed" ? [`${record.requestId}#${record.attempt} on ${(record.gpuIds ?? [record.gpuId]).join("+")}`] : []));
    const dispatched = step.effects.flatMap((effect) => (effect.kind === "dispatch" ? [`${effect.request.spec.requestId}#${effect.attempt} on ${(effect.gpuIds ?? [effect.gpuId]).join("+")}`] : []));
    assert(placed.join() === dispatched.join(), "each placement is dispatched once and nothing else is");
    const ends = step.records.flatMap((record) => (record.kind === "ended" ? [record.requestId] : []));
    assert(ends.join() === step.ended.map(({ request }) => request.spec.requestId).join(), "each end is handed over once");
    for (const effect of step.effects) {
      if (effect.kind === "acknowledge") assert(!this.isPresent(effect.nodeId, effect.ref), "only what is over is acknowledged");
    }
  }

  /** A tick tells attempts to stop because their time is up, or for somebody more urgent. */
  #judgePreemption(step: Step, nowMs: number): void {
    const { priorityGap, minRunMs } = this.#settings.preemption;
    const mostUrgent = Math.max(0, ...[...this.lives.values()].filter(({ at }) => at === null).map(({ spec }) => spec.priority));
    for (const effect of step.effects) {
      if (effect.kind !== "cancel_attempt") continue;
      const life = this.lives.get(effect.ref.requestId);
      if (!life?.at || life.stopping || life.attempt !== effect.ref.attempt || this.#isOverdue(life, nowMs)) continue;
      const { preemptible, checkpoint } = wishesOf(life.spec);
      assert(preemptible && (!life.started || checkpoint), "only work that agreed to it and loses nothing is stopped for others");
      assert(!life.started || nowMs - life.startedAtMs >= minRunMs, "what has begun has its time");
      assert(mostUrgent >= life.spec.priority + priorityGap, "it is stopped for somebody more urgent");
      assert(life.toldToStop !== life.attempt, "it is told once");
      life.toldToStop = life.attempt;
    }
  }

  /** Its attempt has not begun, or given no sign of life, in the time that it brought. */
  #isOverdue({ spec, started, startedAtMs, placedAtMs, answered }: Life, nowMs: number): boolean {
    const { startingMs = 0, answeringMs = 0 } = spec.handling?.timeouts ?? {};
    return started ? answeringMs > 0 && !answered && nowMs >= startedAtMs + answeringMs : startingMs > 0 && nowMs >= placedAtMs + startingMs;
  }

  #judgeEnd({ nodeId, ref }: Extract<Event, { kind: "attempt_ended" }>, present: boolean, step: Step): void {
    const acknowledged = step.effects.some(
      (effect) => effect.kind === "acknowledge" && effect.nodeId === nodeId && effect.ref.requestId === ref.requestId && effect.ref.attempt === ref.attempt,
    );
    assert(acknowledged, "every result is acknowledged");
    const settled = step.records.some((record) => (record.kind === "ended" || record.kind === "attempt_failed") && record.requestId === ref.requestId);
    assert(settled === present, "a present attempt's end settles it, any other changes nothing");
  }

  #life(requestId: string): Life {
    const life = this.lives.get(requestId);
    assert(life !== undefined, "only live requests have facts");
    return life;
  }
}
