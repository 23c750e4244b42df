// Writes the records of a usual request's life, and its finished request, straight from their fields: a quarter of what
// msgpackr takes to find out what lies before it. The bytes are msgpackr's own. Whatever is not of a shape known here goes to
// msgpackr as it is, so that a new field costs time until it is added here, nothing else.
import type { Packr } from "msgpackr";
import type { Candidate, Decision, FilterCount, ResourceEstimate, ScorerWeight } from "../core/model/decision.js";
import type { BatchRef, Request, RequestSpec, Requirements, ResultInfo, RunStatistics, Wishes } from "../core/model/request.js";
import type { Record } from "../core/records.js";
import type { MessagePackWriter } from "./message-pack.js";
import { SHAPES } from "./shapes.js";

type Of<K extends Record["kind"]> = Extract<Record, { readonly kind: K }>;

/** The places of the shapes that are written here. */
const ACCEPTED = 0;
const PLACED = 1;
const STARTED = 2;
const ENDED = 3;
const SPEC = 4;
const REQUIREMENTS = 5;
const ESTIMATE = 6;
const REQUEST = 7;
const RESULT = 8;
const STATISTICS = 9;
const FILTER = 10;
const DECISION = 12;
const SCORER = 13;
const CANDIDATE = 14;
const ESTIMATE_WITH_TOKENS = 15;
const SPEC_WITH_WISHES = 16;
const WISHES = 17;
const SPEC_WITH_BATCH = 18;
const SPEC_WITH_WISHES_AND_BATCH = 19;
const BATCH = 20;
const FIELDS = SHAPES.map((keys) => keys.length);

export class RecordWriter {
  readonly #out: MessagePackWriter;
  readonly #packr: Packr;

  constructor(out: MessagePackWriter, packr: Packr) {
    this.#out = out;
    this.#packr = packr;
  }

  record(record: Record): void {
    switch (record.kind) {
      case "accepted":
        this.#accepted(record);
        break;
      case "placed":
        this.#placed(record);
        break;
      case "started":
        this.#started(record);
        break;
      case "ended":
        this.#ended(record);
        break;
      default:
        this.#other(record);
    }
  }

  /** With `payload` in the place of the request's own. */
  request(request: Request, payload: Uint8Array): void {
    const out = this.#out;
    if (!has(request, REQUEST)) return this.#other({ ...request, spec: { ...request.spec, payload } });
    out.shape(REQUEST);
    this.#spec(request.spec, payload);
    out.number(request.sequence);
    out.number(request.acceptedAtMs);
    out.number(request.deadlineAtMs);
    out.text(request.phase);
    out.number(request.attempt);
    out.text(request.gpuId);
    out.text(request.nodeId);
    out.number(request.placedAtMs);
    out.number(request.startedAtMs);
    out.number(request.endedAtMs);
    out.number(request.progress);
    this.#other(request.stop);
    this.#other(request.error);
    this.#result(request.result);
    this.#statistics(request.statistics);
    this.#decision(request.decision);
  }

  #accepted(record: Of<"accepted">): void {
    const out = this.#out;
    if (!has(record, ACCEPTED)) return this.#other(record);
    out.shape(ACCEPTED);
    out.text(record.kind);
    this.#spec(record.spec, record.spec.payload);
    out.number(record.atMs);
    out.number(record.sequence);
    out.number(record.deadlineAtMs);
    this.#estimate(record.estimate);
  }

  #placed(record: Of<"placed">): void {
    const out = this.#out;
    if (!has(record, PLACED)) return this.#other(record);
    out.shape(PLACED);
    out.text(record.kind);
    out.text(record.requestId);
    out.number(record.attempt);
    out.text(record.gpuId);
    out.number(record.atMs);
    out.number(record.memoryMib);
    this.#decision(record.decision);
  }

  #started(record: Of<"started">): void {
    const out = this.#out;
    if (!has(record, STARTED)) return this.#other(record);
    out.shape(STARTED);
    out.text(record.kind);
    out.text(record.requestId);
    out.number(record.attempt);
    out.number(record.atMs);
  }

  #ended(record: Of<"ended">): void {
    const out = this.#out;
    if (!has(record, ENDED)) return this.#other(record);
    out.shape(ENDED);
    out.text(record.kind);
    out.text(record.requestId);
    out.text(record.phase);
    out.number(record.atMs);
    this.#other(record.error);
    this.#result(record.result);
    this.#statistics(record.statistics);
  }

  #spec(spec: RequestSpec, payload: Uint8Array): void {
    const out = this.#out;
    const { wishes, batch } = spec;
    const shape = batch ? (wishes ? SPEC_WITH_WISHES_AND_BATCH : SPEC_WITH_BATCH) : wishes ? SPEC_WITH_WISHES : SPEC;
    if (!has(spec, shape)) return this.#other({ ...spec, payload });
    out.shape(shape);
    out.text(spec.requestId);
    out.text(spec.userId);
    out.text(spec.modelId);
    out.text(spec.type);
    out.number(spec.priority);
    this.#requirements(spec.requirements);
    out.number(spec.timeoutMs);
    out.text(spec.callbackUrl);
    out.text(spec.strategy);
    out.text(spec.specificGpuId);
    out.flag(spec.idempotent);
    out.bytes(payload);
    if (wishes) this.#wishes(wishes);
    if (batch) this.#batch(batch);
    out.text(spec.contentHash);
  }

  #batch(batch: BatchRef): void {
    const out = this.#out;
    if (!has(batch, BATCH)) return this.#other(batch);
    out.shape(BATCH);
    out.text(batch.id);
    out.number(batch.size);
    if (batch.split === null) out.nil();
    else out.flag(batch.split);
    out.number(batch.minPerGpu);
  }

  #wishes(wishes: Wishes): void {
    const out = this.#out;
    if (!has(wishes, WISHES)) return this.#other(wishes);
    out.shape(WISHES);
    out.number(wishes.firstOutputMs);
    out.number(wishes.totalMs);
    out.number(wishes.deadlineAtMs);
    out.text(wishes.whenLate);
    out.text(wishes.sessionKey);
    out.array(wishes.prefixHashes.length);
    for (const hash of wishes.prefixHashes) out.number(hash);
    out.number(wishes.gpus);
    out.flag(wishes.preemptible);
    out.flag(wishes.checkpoint);
  }

  #requirements(requirements: Requirements): void {
    const out = this.#out;
    if (!has(requirements, REQUIREMENTS)) return this.#other(requirements);
    out.shape(REQUIREMENTS);
    out.number(requirements.memoryMib);
    out.number(requirements.computeUnits);
    out.number(requirements.maxBatchSize);
    out.number(requirements.expectedDurationMs);
    out.number(requirements.minComputeCapability);
    out.number(requirements.inputTokens);
    out.number(requirements.outputTokens);
  }

  #estimate(estimate: ResourceEstimate): void {
    const out = this.#out;
    const { inputTokens, outputTokens } = estimate;
    const withTokens = inputTokens !== undefined && outputTokens !== undefined;
    const shape = withTokens ? ESTIMATE_WITH_TOKENS : ESTIMATE;
    if (!has(estimate, shape)) return this.#other(estimate);
    out.shape(shape);
    out.number(estimate.memoryMib);
    out.number(estimate.durationMs);
    out.text(estimate.source);
    if (!withTokens) return;
    out.number(inputTokens);
    out.number(outputTokens);
  }

  #decision(decision: Decision | null): void {
    const out = this.#out;
    if (decision === null || !has(decision, DECISION)) return this.#other(decision);
    out.shape(DECISION);
    out.text(decision.strategy);
    out.number(decision.considered);
    out.array(decision.filters.length);
    for (const filter of decision.filters) this.#filter(filter);
    out.array(decision.scorers.length);
    for (const scorer of decision.scorers) this.#scorer(scorer);
    out.array(decision.candidates.length);
    for (const candidate of decision.candidates) this.#candidate(candidate);
    out.number(decision.seed);
    this.#estimate(decision.estimate);
  }

  #filter(filter: FilterCount): void {
    const out = this.#out;
    if (!has(filter, FILTER)) return this.#other(filter);
    out.shape(FILTER);
    out.text(filter.filter);
    out.number(filter.removed);
    out.text(filter.needed);
  }

  #scorer(scorer: ScorerWeight): void {
    const out = this.#out;
    if (!has(scorer, SCORER)) return this.#other(scorer);
    out.shape(SCORER);
    out.text(scorer.scorer);
    out.number(scorer.weight);
  }

  #candidate(candidate: Candidate): void {
    const out = this.#out;
    if (!has(candidate, CANDIDATE)) return this.#other(candidate);
    const { values } = candidate;
    out.shape(CANDIDATE);
    out.text(candidate.gpuId);
    out.number(candidate.score);
    out.array(values.length);
    for (const value of values) out.number(value);
    out.number(candidate.telemetryAgeMs);
  }

  #result(result: ResultInfo | null): void {
    const out = this.#out;
    if (result === null || !has(result, RESULT)) return this.#other(result);
    out.shape(RESULT);
    out.number(result.sizeBytes);
    out.text(result.contentType);
  }

  #statistics(statistics: RunStatistics | null): void {
    const out = this.#out;
    if (statistics === null || !has(statistics, STATISTICS)) return this.#other(statistics);
    out.shape(STATISTICS);
    out.number(statistics.runMs);
    out.number(statistics.firstOutputMs);
    out.number(statistics.inputTokens);
    out.number(statistics.outputTokens);
    out.number(statistics.peakMemoryMib);
  }

  #other(value: unknown): void {
    if (value === null) this.#out.nil();
    else this.#out.raw(this.#packr.pack(value));
  }
}

/** Whether `value` has the fields of a shape and no more. Its type says that it has them: what remains is to count. */
function has(value: object, shape: number): boolean {
  let count = 0;
  for (const _ in value) count += 1;
  return count === FIELDS[shape];
}
