/** A study's report: what its record says, as one HTML page, as Markdown and as JSON. */
import { mkdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { structureKey } from "../novelty/structure.ts";
import { toHtml } from "../report/html.ts";
import { toJson } from "../report/json.ts";
import { toMarkdown } from "../report/markdown.ts";
import { reportOf } from "../report/report.ts";
import type { NetRecord, StudyRecord } from "../report/types.ts";
import type { StudyStore } from "../store/store.ts";
import { UserError } from "../study/ports.ts";
import type { Candidate } from "../study/types.ts";
import { writeAtomically } from "./atomic.ts";
import { fileError } from "./file-error.ts";
import { openStudy, readStudyConfig, type Study } from "./study.ts";

/**
 * Writes `report.html`, `report.md` and `report.json` into `dir`, each whole or not at all. The same record gives the same files.
 * `untuned`: the folder of a study whose designer was never tuned, to be shown beside this one; null: none.
 * @throws UserError "no-study", "study-config", "not-untuned", "file", "disk-full"
 */
export function writeReport(study: Study, dir: string, untuned: string | null): { files: string[] } {
  const report = reportOf(recordOf(study), untuned === null ? null : untunedRecord(study, untuned));
  const texts = { "report.html": toHtml(report), "report.md": toMarkdown(report), "report.json": toJson(report) };
  try {
    mkdirSync(dir, { recursive: true });
    return {
      files: Object.entries(texts).map(([name, text]) => {
        const file = join(dir, name);
        writeAtomically(file, text);
        return file;
      }),
    };
  } catch (error) {
    throw fileError(error, `write the report to ${dir}`);
  }
}

function untunedRecord(study: Study, dir: string): StudyRecord {
  const other = openStudy(dir);
  try {
    if (realpathSync(other.dir) === realpathSync(study.dir)) {
      throw new UserError("not-untuned", `${dir} is this study itself. Name the folder of another one.`);
    }
    const record = recordOf(other);
    const tuned = record.cycles.find(({ generation }) => generation > 0);
    if (tuned) {
      throw new UserError(
        "not-untuned",
        `The designer of the study in ${dir} was tuned: generation ${tuned.generation} designed its cycle ${tuned.cycle}. ` +
          "Name a study all of whose cycles were designed by the base model.",
      );
    }
    return record;
  } finally {
    other.close();
  }
}

function recordOf({ dir, store }: Study): StudyRecord {
  return {
    // People edit it while an engine is open.
    config: readStudyConfig(dir),
    cycles: store.cycles(),
    generations: store.generations.list(),
    nets: store.list().map((candidate) => netRecord(store, candidate)),
  };
}

function netRecord(store: StudyStore, candidate: Candidate): NetRecord {
  const { id } = candidate;
  const graph = store.graph(id);
  return {
    candidate,
    code: store.code(id),
    structure: graph && structureKey(graph),
    answers: store.attempts(id).map(({ model, sampling, reply }) => ({ model, sampling, tokens: reply.tokens })),
    protocol: store.trainings(id).find(({ figure }) => figure)?.protocol ?? null,
    reviewer: store.reviews(id).at(-1)?.by ?? null,
  };
}
