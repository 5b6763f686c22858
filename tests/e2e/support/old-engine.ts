/** An engine of an older version, at work: it answers `hello` with another version, and does not end when asked. */
import { rmSync } from "node:fs";
import { createServer } from "node:net";
import { ErrorCodes, ResponseError } from "vscode-jsonrpc";
import { createMessageConnection, SocketMessageReader, SocketMessageWriter } from "vscode-jsonrpc/node";
import { engineAddress } from "../../../src/engine/address.ts";

/** Listens where the study's engine would, with `runtimeDir` as XDG_RUNTIME_DIR. Answers what ends it. */
export async function startOldEngine(study: string, runtimeDir: string): Promise<() => Promise<void>> {
  const before = process.env.XDG_RUNTIME_DIR;
  process.env.XDG_RUNTIME_DIR = runtimeDir;
  const address = engineAddress(study);
  if (before === undefined) delete process.env.XDG_RUNTIME_DIR;
  else process.env.XDG_RUNTIME_DIR = before;
  const server = createServer((socket) => {
    const connection = createMessageConnection(new SocketMessageReader(socket), new SocketMessageWriter(socket));
    connection.onRequest("hello", () => ({ protocolVersion: 0, pid: process.pid }));
    connection.onRequest("shutdown", () => new ResponseError(ErrorCodes.InternalError, "at work"));
    socket.on("error", () => socket.destroy());
    connection.listen();
  });
  rmSync(address, { force: true });
  await new Promise<void>((resolve) => {
    server.listen(address, resolve);
  });
  return () => new Promise((resolve) => server.close(() => resolve()));
}
