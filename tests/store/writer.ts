/**
 * A client in a process of its own: `node writer.ts FILE NAME COUNT`. Opens (or makes) the store and adds COUNT candidates with an
 * attempt each; says the id of each once the store has said that it is recorded. A UserError goes to stderr as JSON, exit code 1.
 */
import { writeSync } from "node:fs";
import { openStore } from "../../src/store/store.ts";
import { UserError } from "../../src/study/ports.ts";

const [file = "", name = "", count = ""] = process.argv.slice(2);

try {
  const store = openStore(file);
  for (let n = 1; n <= Number(count); n++) {
    const id = store.addCandidate({
      cycle: 0,
      name: `${name}_${n}`,
      mode: "full",
      parent: null,
      seed: n,
      idea: null,
      code: null,
    });
    store.addAttempt(id, {
      number: 1,
      prompt: { messages: [{ role: "user", content: `Design ${n}` }], prefill: "", stop: [] },
      sampling: { temperature: 0.8, topP: 0.95, minP: 0.05, seed: n, maxTokens: 1024 },
      model: "model",
      reply: { text: `reply ${n} `.repeat(500), promptTokens: 10, tokens: 20, seconds: 1, finish: "stop" },
      code: null,
      failure: null,
    });
    writeSync(1, `${id}\n`);
  }
  store.close();
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  writeSync(2, JSON.stringify({ code: error.code, message: error.message }));
  process.exitCode = 1;
}
