// The router places models: on GPUs with room for one of two, each is loaded by the demand for it. Real processes.
import { expect, test } from "@jest/globals";
import { RequestState } from "../../gen/gpurouter/v1/router_pb.js";
import { eventually, startAgent, startRouter, type LogLine } from "./harness.js";

const MODELS = ["llama-3.1-8b", "mistral-7b"];

test("a request for a model that lies nowhere has it loaded, and is served", async () => {
  const { client, grpcAddress } = await startRouter({ config: { load_balancer: { place_models: true } } });
  const agent = await startAgent({ nodeId: "n", router: grpcAddress, gpus: 2, kind: "RTX-4090", speed: 100, runners: { simulated: { models: MODELS } } });
  const serve = async (modelId: string): Promise<string> => {
    // Neither tokens nor duration: demand is what the router expects.
    const { requestId } = await client.route({ modelId, payload: { case: "payloadJson", value: { prompt: "hello" } } });
    const done = await eventually(`the request for ${modelId} has ended`, async () => {
      const { request } = await client.status({ requestId });
      return request && request.state >= RequestState.COMPLETED ? request : null;
    });
    expect(done).toMatchObject({ state: RequestState.COMPLETED, attempts: 1 });
    return done.assignedGpu;
  };
  const gpus = [await serve(MODELS[0]!), await serve(MODELS[1]!)];
  // There is no room for both on one.
  expect(new Set(gpus).size).toBe(2);
  // What lies where it lies serves the next ones.
  expect([await serve(MODELS[0]!), await serve(MODELS[1]!)]).toEqual(gpus);
  const orders = agent.logged.filter(({ msg }) => msg === "model ordered").map(({ runner, model, action }: LogLine) => ({ runner, model, action }));
  expect(orders).toEqual(MODELS.map((model, index) => ({ runner: `simulated-${gpus[index]!.at(-1)}`, model, action: "load" })));
});
