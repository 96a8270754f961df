/** Git LFS pointers (github.com/git-lfs/git-lfs, docs/spec.md): what Git keeps in place of a large file. */

/** How a pointer begins. */
const LFS_POINTER = "version https://git-lfs.github.com/spec/";

/** How many bytes of a file `isLfsPointer` needs to see. */
export const LFS_POINTER_BYTES = LFS_POINTER.length;

/** Whether a file that begins so is a Git LFS pointer. */
export function isLfsPointer(beginning: Uint8Array): boolean {
  if (beginning.length < LFS_POINTER_BYTES) return false;
  for (let i = 0; i < LFS_POINTER_BYTES; i++) if (beginning[i] !== LFS_POINTER.charCodeAt(i)) return false;
  return true;
}

/** What to say of a Git LFS pointer that was to be read. */
export function lfsPointerMessage(path: string): string {
  const directory = /^(.*)[\\/][^\\/]*$/s.exec(path)?.[1] ?? ".";
  return (
    `${path} is a Git LFS pointer, not the file itself: the repository was cloned without its large files. ` +
    `Run "git lfs pull" in ${directory || "/"}, or download the file.`
  );
}
