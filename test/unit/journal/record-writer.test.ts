import { expect, test } from "@jest/globals";
import type { Event, Step } from "../../../src/core/events.js";
import type { NodeId, RequestId } from "../../../src/core/model/ids.js";
import { NO_WISHES } from "../../../src/core/model/request.js";
import type { Record } from "../../../src/core/records.js";
import { encodeFinished, encodeFrame } from "../../../src/journal/codec.js";
import { specOf, STARTED_AT_MS, Story } from "./story.js";

/** What msgpackr writes before the key names of an object whose shape has no number. */
const NAMED_KEYS = "\xd4r";
const STATISTICS = { runMs: 1.5, firstOutputMs: 0, inputTokens: 3, outputTokens: 4, peakMemoryMib: 5 };

test("every object of a usual life has a numbered shape", () => {
  const { engine } = new Story(1);
  const spec = specOf("r-1");
  const step = (event: Event): Step => engine.step(event, STARTED_AT_MS + 60_000);
  const submitted = step({ kind: "submit", spec });
  const { nodeId, attempt } = engine.state.requests.get(spec.requestId)!;
  const ref = { requestId: spec.requestId, attempt };
  const begun = step({ kind: "attempt_started", nodeId: nodeId as NodeId, ref });
  const end = { outcome: "succeeded", error: null, result: new Uint8Array(64), resultContentType: "text/plain", statistics: STATISTICS } as const;
  const over = step({ kind: "attempt_ended", nodeId: nodeId as NodeId, ref, end });
  const records = [...submitted.records, ...begun.records, ...over.records];

  expect(records.map(({ kind }) => kind)).toEqual(["accepted", "placed", "started", "ended"]);
  for (const stored of [encodeFrame(records), ...over.ended.map(encodeFinished)]) expect(stored.toString("latin1")).not.toContain(NAMED_KEYS);

  for (const wishes of [undefined, NO_WISHES]) {
    const { contentHash, ...alone } = spec;
    const inBatch = { ...alone, requestId: `b-${wishes ? 1 : 0}` as RequestId, ...(wishes && { wishes }), batch: { id: "b", size: 2, split: null, minPerGpu: 0 }, contentHash };
    expect(encodeFrame(step({ kind: "submit", spec: inBatch }).records).toString("latin1")).not.toContain(NAMED_KEYS);
  }

  const [accepted, ...others] = records;
  expect(encodeFrame([{ ...accepted!, addedLater: 1 } as unknown as Record, ...others]).toString("latin1")).toContain(NAMED_KEYS);
});
