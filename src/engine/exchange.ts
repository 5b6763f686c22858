/** A study's nets to and from the LEMUR layout. */
import { exportLemur, importLemur } from "../store/lemur.ts";
import type { Study } from "./study.ts";

/** Writes the accepted nets. */
export async function exportAccepted({ store }: Study, dir: string): Promise<{ nets: number; files: number }> {
  const accepted = store.list({ accepted: true });
  const nets = accepted.map(({ id, name }) => ({ name, code: store.code(id) ?? "", trainings: store.trainings(id) }));
  const { nets: count, files } = await exportLemur(nets, dir);
  return { nets: count, files: files.length };
}

/** Reads nets into cycle 0, unmeasured. A name that is taken gets a number behind it. */
export async function importNets(
  { store }: Study,
  dir: string,
): Promise<{ ids: number[]; skipped: { file: string; why: string }[] }> {
  const { nets, skipped } = await importLemur(dir);
  const known = new Set(store.list({ cycle: 0 }).map(({ id }) => store.code(id)));
  const ids: number[] = [];
  const add = () => {
    for (const { name, code } of nets) {
      if (known.has(code)) {
        skipped.push({ file: `${name}.py`, why: "the study has it already" });
        continue;
      }
      known.add(code);
      let free = name;
      for (let copy = 2; store.candidateByName(free); copy++) free = `${name}_${copy}`;
      ids.push(store.addCandidate({ cycle: 0, name: free, mode: "import", parent: null, seed: 0, idea: null, code }));
    }
  };
  store.transaction(add);
  return { ids, skipped };
}
