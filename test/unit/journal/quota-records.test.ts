import { expect, test } from "@jest/globals";
import { decodeFrame, decodeSnapshot, encodeFrame, encodeSnapshot } from "../../../src/journal/codec.js";
import { takeSnapshot } from "../../../src/core/snapshot.js";
import { QuotaWorld } from "../core/quota/world.js";

test("what was set for users and teams, and what they have used, reads back as it was written", () => {
  const world = new QuotaWorld({ requestsPerMinute: 9 });
  world.set("ml", { gpus: 4 }, "team");
  world.set("alice", { concurrentRequests: 7, modelRequests: { large: 1 }, weight: 2, team: "ml" });
  world.connect("n", ["g"]);
  world.send("alice");
  world.endOne("alice", 5_000);
  const set = world.records.filter(({ kind }) => kind === "quota_set");
  expect(set).toHaveLength(2);
  expect(decodeFrame(encodeFrame(set), "a frame")).toEqual(set);
  const snapshot = takeSnapshot(world.engine.state);
  expect(decodeSnapshot(encodeSnapshot(snapshot)).quotas).toEqual(snapshot.quotas);
  expect(snapshot.quotas?.accounts).toHaveLength(2);
});
