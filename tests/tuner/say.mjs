// Prints what llama.cpp says greedily with tiny models, with and without their adapters. usage: node say.mjs FOLDER
// A process of its own: native code that hangs must not hang the tests.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

const folder = process.argv[2] ?? "";
const told = JSON.parse(readFileSync(join(folder, "told.json"), "utf8"));
const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: LlamaLogLevel.error });
const said = {};
for (const [architecture, { question, plain }] of Object.entries(told)) {
  const model = await llama.loadModel({ modelPath: join(folder, `${architecture}.gguf`) });
  const say = async (adapters) => {
    const lora = adapters.length > 0 ? { lora: { adapters } } : {};
    const context = await model.createContext({ contextSize: 256, threads: 1, ...lora });
    const tokens = [];
    for await (const token of context.getSequence().evaluate(question, { temperature: 0, yieldEogToken: true })) {
      if (tokens.push(token) === plain.length) break;
    }
    await context.dispose();
    return tokens;
  };
  said[architecture] = {
    plain: await say([]),
    adapted: await say([{ filePath: join(folder, `${architecture}-adapter.gguf`) }]),
  };
}
process.stdout.write(JSON.stringify(said), () => process.exit(0));
