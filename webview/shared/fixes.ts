/** The next step that a failed run offers as a button. */
import type { FromWebview } from "./contract.ts";

export interface Fix {
  label: string;
  message: FromWebview;
}

const command = (label: string, name: Extract<FromWebview, { type: "command" }>["command"]): Fix => ({
  label,
  message: { type: "command", command: name },
});

const CHECK_SETUP = command("Check Setup", "checkSetup");

export function fixFor(code: string): Fix | null {
  // What the study says itself: its model, its limits.
  if (/^(study-config|tuner-(memory|base|architecture|device)|no-such-device|generation-base)$/.test(code)) {
    return command("Open netwright.json", "openConfig");
  }
  if (/^(generation-(unusable|current)|adapter-unreadable|parent-refused|unknown-generation)$/.test(code)) {
    return command("Use Generation...", "useGeneration");
  }
  if (code === "tuner-failed") return command("Fine-Tune Designer", "fineTune");
  if (code === "cycle-unfinished") return { label: "Resume Cycle", message: { type: "resume" } };
  if (code === "no-study") return command("New Study", "newStudy");
  // Python, its packages, the model and the programs that run them: one place finds out and mends.
  return /^(python|install|ollama|model|designer|llama|data|dataset|network|worker|trainer|home|sandbox)/.test(code)
    ? CHECK_SETUP
    : null;
}

/** An error in the words of the editor: what it says to type in a terminal, a button offers here. */
export const withoutCommands = (message: string): string =>
  message
    .replaceAll(/ See(?: also)?: netwright doctor\b/g, "")
    .replaceAll(/(?: with)?: netwright [a-z]+(?: \S+)*$/gm, ".");
