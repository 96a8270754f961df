/** What has to be so before a version is published; each check is a sentence about what is not. */

/** What is known of the clone and of where the release runs. */
export interface ReleaseState {
  readonly version: string;
  /** `private` of package.json: the owner's lock. */
  readonly isPrivate: boolean;
  /** `repository` of package.json; undefined where it is not said. */
  readonly repository: string | undefined;
  /** Files that git sees changed or new. */
  readonly changedFiles: readonly string[];
  /** Tags of the commit that is checked out. */
  readonly tags: readonly string[];
  readonly changelog: string;
  /** `version` of package-lock.json. */
  readonly lockedVersion: string;
  /** The versions that the registry has already. */
  readonly published: readonly string[];
  /** The job can prove to the registry where it runs: npm attests provenance in CI alone. */
  readonly canAttest: boolean;
}

const VERSION = /^\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?$/;

/** What is in the way, in the order in which one would mend it; nothing where all is well. */
export function releaseFaults(state: ReleaseState): string[] {
  const { version, isPrivate, repository, changedFiles, tags, changelog, lockedVersion, published, canAttest } = state;
  const faults: string[] = [];
  if (!VERSION.test(version)) faults.push(`package.json: ${version} is not a version (MAJOR.MINOR.PATCH).`);
  if (lockedVersion !== version) {
    faults.push(`package-lock.json has the version ${lockedVersion}, package.json ${version}: run npm install.`);
  }
  if (published.includes(version)) faults.push(`The registry has ${version} already: take the next version.`);
  faults.push(...changelogFaults(changelog, version));
  if (isPrivate) faults.push('package.json says "private": the owner takes that out to publish.');
  if (repository === undefined) {
    faults.push(
      'package.json has no "repository": npm compares it with the provenance of the job, so it must be there.',
    );
  }
  if (changedFiles.length > 0) {
    faults.push(
      `The tree is not clean: ${changedFiles.slice(0, 5).join(", ")}${changedFiles.length > 5 ? ", …" : ""}.`,
    );
  }
  if (!tags.includes(`v${version}`)) {
    const found = tags.length === 0 ? "it has no tag" : `it is tagged ${tags.join(", ")}`;
    faults.push(`The commit must be tagged v${version}; ${found}.`);
  }
  if (!canAttest) {
    faults.push(
      "There is no identity token to attest provenance with: run it in the CI job release/README.md describes.",
    );
  }
  return faults;
}

/** A section for each version, the newest first: `## 0.1.0 (2026-12-01)`, and below it what changed. */
function changelogFaults(changelog: string, version: string): string[] {
  const sections = changelog.split(/^## /m).slice(1);
  const section = sections.find((text) => text.split(/[\s(]/, 1)[0] === version);
  if (section === undefined) return [`CHANGELOG.md has no section "## ${version} (DATE)".`];
  const [head, ...body] = section.split("\n");
  const faults: string[] = [];
  if (!/^\S+ \(\d{4}-\d{2}-\d{2}\)$/.test(head!.trim())) {
    faults.push(`CHANGELOG.md: the section must begin "## ${version} (YYYY-MM-DD)", not "## ${head!.trim()}".`);
  }
  if (body.join("").trim() === "") faults.push(`CHANGELOG.md: the section of ${version} says nothing.`);
  if (section !== sections[0]) faults.push(`CHANGELOG.md: the section of ${version} is not the first.`);
  return faults;
}
