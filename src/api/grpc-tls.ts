// Credentials of a gRPC server whose certificate may be exchanged while it runs. Made from `TlsFiles`; used by `grpc-server.ts`.
import { ServerCredentials } from "@grpc/grpc-js";
import type { TlsContext, TlsFiles } from "./tls-files.js";

export class ReloadingCredentials extends ServerCredentials {
  constructor(files: TlsFiles) {
    super({ ...files.serverOptions }, { ...files.context });
    files.onChange((context: TlsContext) => this.updateSecureContextOptions({ ...context }));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}
