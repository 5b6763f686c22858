/** The command line as a client of the study's engine. */
import { fileURLToPath } from "node:url";
import { EngineClient } from "../engine/client.ts";
import { DidHappen, Shutdown } from "../engine/protocol.ts";
import type { Context } from "./context.ts";

/** Beside the bundle; where this runs from the sources, so does the engine. */
const PROGRAM = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "../engine.ts" : "./engine.js", import.meta.url),
);

/** Asks the study's engine, started if need be, and shows what happens meanwhile. One that was started for this ends afterwards. */
export async function withEngine<T>(context: Context, ask: (engine: EngineClient) => Promise<T>): Promise<T> {
  // Opening the study here tells a missing or broken one before any process is started.
  const { dir } = context.study();
  const engine = await EngineClient.open({ dir, program: PROGRAM }, context.signal);
  // Cancelled before anything is asked: what a new engine went on with by itself, as the one before was killed, ends with it.
  const force = context.signal.aborted;
  try {
    engine.on(DidHappen, context.emit);
    return await ask(engine);
  } finally {
    if (engine.started) await engine.request(Shutdown, { force }).catch(() => undefined);
    engine.close();
  }
}
