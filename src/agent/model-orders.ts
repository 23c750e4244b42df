// Hands the router's orders about models to the runners. Called by `agent.ts`.
import type { Logger } from "pino";
import { ModelAction, type ModelOrder } from "../../gen/gpurouter/v1/agent_pb.js";
import { modelOrderOf } from "./agent-codec.js";
import type { Runner } from "./runners/runner.js";

/** Gives the order to its runner, and says in the log what came of it. */
export function obeyModelOrder(order: ModelOrder, runners: ReadonlyMap<string, Runner>, log: Logger): void {
  const words = { runner: order.runner, model: order.modelId, action: ModelAction[order.action]?.toLowerCase() ?? order.action };
  const ignored = giveModelOrder(order, runners);
  if (ignored === "") log.info(words, "model ordered");
  else log.warn({ ...words, because: ignored }, "model order ignored");
}

/** Gives the order to its runner. Returns why it was ignored, in words; "" when it was given. */
export function giveModelOrder(message: ModelOrder, runners: ReadonlyMap<string, Runner>): string {
  const order = modelOrderOf(message);
  const runner = runners.get(message.runner);
  if (!order) return "this agent does not know the action";
  if (!runner) return "this node has no runner of that name";
  if (!runner.order) return "the models of this runner are not the router's to change";
  const { models, loadable = [] } = runner.describe();
  const known = models.includes(order.modelId) || loadable.some(({ modelId }) => modelId === order.modelId);
  if (!known) return "the runner does not have this model";
  runner.order(order);
  return "";
}
