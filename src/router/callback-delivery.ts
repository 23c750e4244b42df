// Puts the parts of callback delivery together from the configuration. Called by daemon.ts; the parts are those of src/callbacks.
import path from "node:path";
import type { Logger } from "pino";
import { AddressGuard } from "../callbacks/address-guard.js";
import { Deliverer } from "../callbacks/deliverer.js";
import { Sender } from "../callbacks/sender.js";
import { makeSecrets, SigningSecrets } from "../callbacks/signing-secrets.js";
import type { CallbackConfig } from "../config/callback-config.js";
import type { CallbackEvent } from "../core/callbacks.js";
import type { LmdbJournal } from "../journal/lmdb-journal.js";
import { CALLBACK_SECRETS_FILE } from "../journal/rekey.js";

/** Signatures and deadlines go by the wall, not by the router's own clock, which never goes back. */
const WALL = { now: () => Date.now() };

/** What makes the deliverer, once there is somebody who can say what is sent. Throws with what to do when the configuration cannot be used. */
export function prepareDelivery(config: CallbackConfig, journal: LmdbJournal, version: string, log: Logger): (bodyOf: (event: CallbackEvent) => string) => Deliverer {
  const { secretsFile, allow, ports, connectTimeoutMs, timeoutMs, limits } = config;
  const ours = path.join(journal.directory, CALLBACK_SECRETS_FILE);
  if (secretsFile === "") makeSecrets(ours);
  const secrets = new SigningSecrets(secretsFile || ours, WALL.now(), (trouble) => log.error(trouble));
  const sender = new Sender({
    guard: new AddressGuard({ allow, ports }),
    secrets,
    clock: WALL,
    userAgent: `gpu-router/${version}`,
    connectTimeoutMs,
    timeoutMs,
    maxConcurrentPerHost: limits.maxConcurrentPerHost,
  });
  return (bodyOf) => new Deliverer({ outbox: journal.outbox, sender, limits, clock: WALL, log, bodyOf });
}
