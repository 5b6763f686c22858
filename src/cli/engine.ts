/** The command line as a client of the study's engine. */
import { join } from "node:path";
import { EngineClient } from "../engine/client.ts";
import { installation } from "../engine/paths.ts";
import { DidHappen, Shutdown } from "../engine/protocol.ts";
import type { Context } from "./context.ts";

/** Asks the study's engine, started if need be, and shows what happens meanwhile. One that was started for this ends afterwards. */
export async function withEngine<T>(context: Context, ask: (engine: EngineClient) => Promise<T>): Promise<T> {
  // Opening the study here tells a missing or broken one before any process is started.
  const { dir } = context.study();
  const engine = await EngineClient.open({ dir, program: join(installation, "dist", "engine.js") }, context.signal);
  try {
    engine.on(DidHappen, context.emit);
    return await ask(engine);
  } finally {
    if (engine.started) await engine.request(Shutdown, { force: false }).catch(() => undefined);
    engine.close();
  }
}
