/** Where a study's engine listens: a pipe of its own, open to this user only. */
import { createHash } from "node:crypto";
import { mkdirSync, realpathSync, statSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { UserError } from "../study/ports.ts";

/**
 * The pipe of the engine of the study in `dir`. Short (socket paths hold 107 bytes), and the same for every way to write the folder.
 * @throws UserError "pipe-folder" when the folder of the pipes belongs to somebody else.
 */
export function engineAddress(dir: string): string {
  const key = createHash("sha256").update(realpathSync(dir)).digest("hex").slice(0, 20);
  if (process.platform === "win32") return `\\\\.\\pipe\\netwright-${userInfo().username}-${key}`;
  const folder = join(process.env.XDG_RUNTIME_DIR || tmpdir(), `netwright-${userInfo().uid}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { uid, mode } = statSync(folder);
  // In a shared temporary folder anybody could have made it first.
  if (uid !== userInfo().uid || (mode & 0o077) !== 0) {
    throw new UserError(
      "pipe-folder",
      `${folder} is open to other users. Remove it, or set XDG_RUNTIME_DIR to a folder of your own.`,
    );
  }
  return join(folder, `${key}.sock`);
}
