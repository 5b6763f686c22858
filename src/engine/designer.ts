/** Opens the designer as a study configures it, in the generation that is to design. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { baseModel, createWithAdapter, openDesigner } from "../designer/index.ts";
import type { StudyConfig } from "../study/config.ts";
import { type Designer, UserError } from "../study/ports.ts";
import type { Generation } from "../study/types.ts";
import { adapterFile } from "../tuner/lora.ts";
import type { Emit } from "./events.ts";
import { netwrightHome } from "./paths.ts";
import { show } from "./setup.ts";
import type { Study } from "./study.ts";

/** Where a generation's corpus, checkpoint and adapter lie. */
export const folderOf = (study: Study, generation: number): string =>
  join(study.stateDir, "generations", String(generation));

export const contextOf = (emit: Emit) => ({
  home: netwrightHome(),
  onProgress: show(emit),
});

/** Ollama's name of a generation: `<study>:g<N>`. */
export const ollamaName = (config: StudyConfig, generation: number): string =>
  `${config.name.toLowerCase()}:g${generation}`;

/** @throws UserError "generation-base" when the study's model, `name`, is another than the generation's. */
export function requireBase({ generation, base }: Generation, name: string, otherwise: string): void {
  if (base === name) return;
  throw new UserError(
    "generation-base",
    `Generation ${generation} is tuned from ${base}, but "designer.model" comes to ${name}. Name ${base} there again, or ${otherwise}`,
  );
}

/**
 * Opens the designer as the study configures it, with the adapter of `generation` (0: none).
 * @throws UserError of openDesigner; "generation-base" when the study names another model than the generation was tuned from,
 * "adapter-unreadable" when its adapter is gone.
 */
export async function openGeneration(
  study: Study,
  generation: number,
  emit: Emit,
  signal: AbortSignal,
): Promise<Designer> {
  const { designer } = study.config;
  const context = contextOf(emit);
  if (generation === 0) {
    const adapter = designer.adapter === null ? null : resolve(study.dir, designer.adapter);
    return openDesigner({ ...designer, adapter }, context, signal);
  }
  const base = await baseModel(designer, context, signal);
  requireBase(study.store.generations.get(generation), base.name, "use generation 0: netwright generations --use 0");
  const adapter = adapterFile(folderOf(study, generation));
  if (!existsSync(adapter)) {
    throw new UserError(
      "adapter-unreadable",
      `The adapter of generation ${generation} is gone (${adapter}). Use another generation.`,
    );
  }
  const title = `${base.name}:g${generation}`;
  if (base.provider === "llama.cpp")
    return openDesigner({ ...designer, provider: "llama.cpp", adapter, title }, context, signal);
  const name = ollamaName(study.config, generation);
  // Even where it is there: it may be that of another study of this name. The server has the file already if it is this one.
  await createWithAdapter(designer.host, name, base.name, adapter, context.onProgress, signal);
  return openDesigner({ ...designer, provider: "ollama", model: name, adapter: null }, context, signal);
}
