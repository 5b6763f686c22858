/** A study that has seen many candidates, written by the store itself. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { openStore, type StudyStore } from "../../../src/store/store.ts";
import { protocolOf, studySchema } from "../../../src/study/config.ts";

const PER_CYCLE = 1000;

/** Fills the record of the study in `dir`: every third net is valid, the others fail the check. The same figures always. */
export function fillRecord(dir: string, count: number): void {
  mkdirSync(join(dir, ".netwright"), { recursive: true });
  const store = openStore(join(dir, ".netwright", "study.db"));
  for (let done = 0; done < count; done += PER_CYCLE) {
    store.transaction(() => {
      const planned = Math.min(PER_CYCLE, count - done);
      const cycle = store.beginCycle({ mode: "full", planned, seed: done, generation: 0 });
      for (let n = 1; n <= planned; n++) addCandidate(store, cycle, n);
      store.endCycle(cycle);
    });
  }
  store.close();
}

function addCandidate(store: StudyStore, cycle: number, n: number): void {
  const name = `digits_c${cycle}_${String(n).padStart(4, "0")}`;
  const id = store.addCandidate({ cycle, name, mode: "full", parent: null, seed: n, idea: "wide", code: CODE });
  if (n % 3 !== 0) {
    store.recordCheck(id, 1, { ok: false, failure: FAILURE, parameters: null, seconds: 0.2 });
    store.finish(id, { outcome: FAILURE.outcome, error: FAILURE, proposed: false });
    return;
  }
  const graph = { nodes: [{ op: "input", attributes: "", shape: [2, 1, 8, 8], inputs: [] }], output: 0 };
  store.recordCheck(id, 1, { ok: true, checked: { parameters: 1000 + n, graph }, seconds: 0.2 });
  const novelty = { text: (n % 89) / 89, structure: (n % 97) / 97 };
  store.recordNovelty(id, { novelty, nearest: { text: null, structure: null } });
  const accuracy = { validation: (n % 83) / 83, test: (n % 79) / 79 };
  store.recordTraining(id, PROTOCOL, { ok: true, accuracy, seconds: 1, peakMemoryMiB: 300 }, true);
  store.finish(id, { outcome: "valid", error: null, proposed: accuracy.validation > 0.4 });
}

const CODE = "import torch.nn as nn\n\n\nclass Net(nn.Module):\n    pass\n";
const FAILURE = {
  outcome: "forward",
  message: "RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x512 and 256x10)",
  line: 12,
  source: "        return self.fc(x)",
} as const;
const PROTOCOL = protocolOf(studySchema.parse({ name: "digits", data: { dataset: "digits" } }));
