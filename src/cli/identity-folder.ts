// Users and keys in the data folder of a router that is stopped, for the commands about them. Loaded by identity-command.ts when --data is
// given, and only then.
import { create, type Message } from "@bufbuild/protobuf";
import { pino } from "pino";
import { userInfo } from "node:os";

import { IdentityService } from "../../gen/gpurouter/v1/identity_pb.js";
import type { IdentityClient } from "../api/client.js";
import { LOCAL_CALLER } from "../api/guard.js";
import { createIdentityService } from "../api/identity-service.js";
import type { Principal } from "../auth/principal.js";
import { loadRouterConfig } from "../config/router-config.js";
import { makeDataDirectory } from "../journal/data-directory.js";
import { lockDirectory } from "../journal/directory-lock.js";
import { readVaultKey } from "../journal/vault-key.js";
import { openIdentity } from "../router/identity.js";
import { CliFailure, usable } from "./failure.js";

/** Closed with a wait. */
export type FolderClient = Omit<IdentityClient, "close"> & { close(): void | Promise<void> };

/** The service itself over the folder, with its lock held. */
export async function openFolder(directory: string, configFile: string | undefined, env: NodeJS.ProcessEnv): Promise<FolderClient> {
  // Who may call is not asked here: of the rest only defaults count.
  const { auth, encryptionKeyFile } = usable(() => loadRouterConfig(configFile, env));
  const key = readVaultKey(encryptionKeyFile);
  makeDataDirectory(directory);
  const lock = await lockDirectory(directory).catch((error: unknown) => {
    if (!(error instanceof Error && error.message.includes("is in use"))) throw error;
    throw new CliFailure(`a router runs on ${directory}: leave out --data, and say with --router and --key (an admin's) which one it is`);
  });
  try {
    const { book, audit, close } = openIdentity(directory, key, auth, pino({ level: "silent" }));
    const handlers = createIdentityService(book, audit);
    const name = `${userInfo().username} on the router's machine` as Principal["name"];
    const caller = { ...LOCAL_CALLER, principal: { ...LOCAL_CALLER.principal, name } };
    type Handle = (message: Message, by: typeof caller) => Promise<Message> | Message;
    const calls = IdentityService.methods.map((method) => [
      method.localName,
      async (request: Readonly<Record<string, unknown>>) => ((handlers as Readonly<Record<string, unknown>>)[method.localName] as Handle)(create(method.input, request), caller),
    ]);
    return {
      ...(Object.fromEntries(calls) as Omit<IdentityClient, "close">),
      async close() {
        await close();
        await lock.release();
      },
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}
