/** Engine process entry: serves one study until nobody needs it. Usage: engine.js DIR [IDLE-SECONDS] */
import { writeSync } from "node:fs";
import { lockStudy } from "./engine/lock.ts";
import { EngineServer } from "./engine/server.ts";
import { openStudy } from "./engine/study.ts";
import { UserError } from "./study/ports.ts";

const [dir, idleSeconds = "60"] = process.argv.slice(2);

try {
  if (!dir) throw new UserError("usage", "engine.js needs the folder of a study.");
  const study = openStudy(dir);
  const lock = lockStudy(study.stateDir);
  const server = new EngineServer(study, { idleSeconds: Number(idleSeconds) }, () => {
    lock.release();
    process.exit(0);
  });
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => void server.close({ goesOn: true }));
  await server.listen();
} catch (error) {
  const code = error instanceof UserError ? error.code : "internal";
  const message = error instanceof UserError ? error.message : String((error as Error).stack);
  process.stderr.write(`${message}\n`);
  report({ code, message });
  process.exit(1);
}

/** Tells whoever started this process why it cannot; started by hand there is nobody to tell. */
function report(failure: { code: string; message: string }): void {
  try {
    writeSync(3, `${JSON.stringify(failure)}\n`);
  } catch {}
}
