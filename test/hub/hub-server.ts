/**
 * A small Hugging Face Hub on this machine, for tests: the routes that a client uses to read and write repositories, as
 * the real one answers them, with large files behind a redirect to a second server on another origin. Faults are put in
 * front of any route: a connection that is cut, wrong content, an error status.
 *
 * What it is not: git. A repository is a list of commits, each a list of files.
 */

import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { json, type LoggedRequest, sendContent } from "./hub-answers.ts";
import { entryOf, gitHash, isLarge, type Repository, sha256 } from "./hub-repository.ts";

/** Answers in place of the route; true where it did, false to let the route answer. */
export type Fault = (request: LoggedRequest, response: ServerResponse, content: Buffer | undefined) => boolean;

/** Entries of a page of the listing. */
const PAGE_FILES = 5;

export class HubServer {
  /** The token that may read everything and write. */
  readonly token = "hf_theTokenOfTheTests";
  readonly requests: LoggedRequest[] = [];
  readonly repositories = new Map<string, Repository>();
  /** Uploaded large files by hash. */
  readonly uploads = new Map<string, Buffer>();
  private readonly faults: { fault: Fault; times: number }[] = [];
  private readonly servers: Server[] = [];
  private serial = 0;
  endpoint = "";
  private filesOrigin = "";

  static async start(): Promise<HubServer> {
    const hub = new HubServer();
    hub.endpoint = await hub.listen("hub", (request, response, logged, body) =>
      hub.answer(request, response, logged, body),
    );
    hub.filesOrigin = await hub.listen("files", (_request, response, logged, body) =>
      hub.answerFile(response, logged, body),
    );
    return hub;
  }

  async close(): Promise<void> {
    for (const server of this.servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  /** Makes a repository with one commit on `main`, or a further commit; returns the commit's hash. */
  put(
    name: string,
    files: Readonly<Record<string, string | Buffer>>,
    options: {
      kind?: "model" | "dataset";
      private?: boolean;
      gated?: boolean;
      branch?: string;
    } = {},
  ): string {
    const kind = options.kind ?? "model";
    const repository = this.repositories.get(`${kind}:${name}`) ?? {
      kind,
      name,
      private: options.private ?? false,
      gated: options.gated ?? false,
      commits: new Map(),
      refs: new Map(),
    };
    this.repositories.set(`${kind}:${name}`, repository);
    const contents = Object.entries(files).map(([path, content]) => [path, Buffer.from(content)] as const);
    return this.commit(repository, options.branch ?? "main", new Map(contents));
  }

  /** Puts a fault before the next `times` requests that it answers. */
  inject(fault: Fault, times = 1): void {
    this.faults.push({ fault, times });
  }

  /** Requests whose path ends so. */
  requestsFor(ending: string): LoggedRequest[] {
    return this.requests.filter(({ url }) => url.split("?")[0]!.endsWith(ending));
  }

  /** The files of a branch as text by path. */
  filesOf(name: string, branch = "main"): Record<string, string> {
    const repository = this.repositories.get(`model:${name}`)!;
    const files = repository.commits.get(repository.refs.get(branch)!)!;
    return Object.fromEntries([...files].map(([path, content]) => [path, content.toString("latin1")]));
  }

  private commit(repository: Repository, branch: string, files: Map<string, Buffer>): string {
    const sha = createHash("sha1")
      .update(`${repository.name} ${this.serial++}`)
      .digest("hex");
    repository.commits.set(sha, files);
    repository.refs.set(branch, sha);
    return sha;
  }

  private listen(
    server: LoggedRequest["server"],
    answer: (request: IncomingMessage, response: ServerResponse, logged: LoggedRequest, body: Buffer) => void,
  ): Promise<string> {
    const listener = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const logged: LoggedRequest = {
          method: request.method!,
          url: request.url!,
          range: request.headers.range,
          authorization: request.headers.authorization,
          server,
        };
        this.requests.push(logged);
        answer(request, response, logged, Buffer.concat(chunks));
      });
    });
    this.servers.push(listener);
    return new Promise((resolve) => {
      listener.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${(listener.address() as AddressInfo).port}`));
    });
  }

  private faulty(logged: LoggedRequest, response: ServerResponse, content?: Buffer): boolean {
    for (const entry of this.faults) {
      if (entry.times > 0 && entry.fault(logged, response, content)) {
        entry.times--;
        return true;
      }
    }
    return false;
  }

  private answer(_request: IncomingMessage, response: ServerResponse, logged: LoggedRequest, body: Buffer): void {
    const path = decodeURIComponent(logged.url.split("?")[0]!);
    const resolve = /^\/(datasets\/)?([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path);
    // The content of a file has its own place for faults, where it is known.
    if (resolve === null && this.faulty(logged, response)) return;
    const isBad = logged.authorization !== undefined && logged.authorization !== `Bearer ${this.token}`;
    if (isBad) {
      json(response, 401, { error: `Invalid credentials in Authorization header: ${logged.authorization}` });
      return;
    }
    if (resolve !== null) {
      const [, dataset, name, revision, file] = resolve as unknown as [
        string,
        string | undefined,
        string,
        string,
        string,
      ];
      this.resolveFile(response, logged, dataset === undefined ? "model" : "dataset", name, revision, file);
      return;
    }
    if (logged.method === "PUT" && path.startsWith("/upload/")) {
      this.storeUpload(response, path, body);
      return;
    }
    if (path === "/api/whoami-v2") {
      if (logged.authorization === undefined) json(response, 401, { error: "Invalid username or password." });
      else json(response, 200, { type: "user", name: "tester", auth: { type: "access_token" } });
      return;
    }
    if (path === "/api/repos/create") {
      this.createRepository(response, logged, body);
      return;
    }
    const batch = /^\/([^/]+\/[^/]+)\.git\/info\/lfs\/objects\/batch$/.exec(path);
    if (batch !== null) {
      this.batch(response, body);
      return;
    }
    const api =
      /^\/api\/(model|dataset)s\/([^/]+\/[^/]+)\/(revision|tree|refs|paths-info|preupload|commit|branch)(?:\/(.+))?$/;
    const match = api.exec(path);
    if (match === null) {
      json(response, 404, { error: "Not Found" });
      return;
    }
    const [, kind, name, route, rest] = match as unknown as [string, Repository["kind"], string, string, string];
    const repository = this.repositories.get(`${kind}:${name}`);
    if (repository === undefined || (repository.private && logged.authorization === undefined)) {
      response.setHeader("x-error-code", "RepoNotFound");
      const status = logged.authorization === undefined ? 401 : 404;
      json(response, status, { error: status === 401 ? "Invalid username or password." : "Repository not found" });
      return;
    }
    this.answerApi(response, logged, repository, route, rest, body);
  }

  private answerApi(
    response: ServerResponse,
    logged: LoggedRequest,
    repository: Repository,
    route: string,
    rest: string,
    body: Buffer,
  ): void {
    if (route === "refs") {
      const branches = [...repository.refs].map(([name, targetCommit]) => ({ name, targetCommit }));
      json(response, 200, { branches, tags: [], converts: [] });
      return;
    }
    const isWrite = route === "preupload" || route === "commit" || route === "branch";
    if (isWrite && logged.authorization === undefined) {
      json(response, 401, { error: "Invalid username or password." });
      return;
    }
    if (route === "branch") {
      if (repository.refs.has(rest)) {
        json(response, 409, { error: "Reference already exists" });
        return;
      }
      repository.refs.set(rest, repository.refs.get("main")!);
      json(response, 200, {});
      return;
    }
    if (route === "commit") {
      this.acceptCommit(response, repository, rest, body);
      return;
    }
    if (route === "preupload") {
      const { files } = JSON.parse(body.toString()) as { files: { path: string; size: number }[] };
      const modes = files.map(({ path, size }) => ({ path, uploadMode: isLarge(path, size) ? "lfs" : "regular" }));
      json(response, 200, { files: modes });
      return;
    }
    const sha = repository.commits.has(rest) ? rest : repository.refs.get(rest);
    if (sha === undefined) {
      response.setHeader("x-error-code", "RevisionNotFound");
      json(response, 404, { error: `Invalid rev id: ${rest}` });
      return;
    }
    const entries = [...repository.commits.get(sha)!].map(([path, content]) => entryOf(path, content));
    if (route === "revision") {
      const { name, gated } = repository;
      const info = { _id: "1", id: name, sha, private: repository.private, gated: gated && "manual" };
      json(response, 200, { ...info, downloads: 0, likes: 0, lastModified: "2025-01-01T00:00:00.000Z" });
    } else if (route === "paths-info") {
      const { paths } = JSON.parse(body.toString()) as { paths: string[] };
      json(
        response,
        200,
        entries.filter(({ path }) => paths.includes(path)),
      );
    } else {
      const url = new URL(logged.url, this.endpoint);
      const from = Number(url.searchParams.get("cursor") ?? 0);
      url.searchParams.set("cursor", String(from + PAGE_FILES));
      if (from + PAGE_FILES < entries.length) response.setHeader("link", `<${url.href}>; rel="next"`);
      const folders = from === 0 ? [{ type: "directory", path: "folder", oid: "0".repeat(40), size: 0 }] : [];
      json(response, 200, [...folders, ...entries.slice(from, from + PAGE_FILES)]);
    }
  }

  private resolveFile(
    response: ServerResponse,
    logged: LoggedRequest,
    kind: Repository["kind"],
    name: string,
    revision: string,
    file: string,
  ): void {
    const repository = this.repositories.get(`${kind}:${name}`);
    const commit = repository?.commits.has(revision) ? revision : repository?.refs.get(revision);
    const content = commit === undefined ? undefined : repository!.commits.get(commit)!.get(file);
    if (this.faulty(logged, response, content)) return;
    if (repository?.gated && logged.authorization === undefined) {
      response.setHeader("x-error-code", "GatedRepo");
      response.setHeader("x-error-message", `Access to model ${name} is restricted.`);
      json(response, 401, { error: "restricted" });
      return;
    }
    if (content === undefined) {
      response.setHeader("x-error-code", "EntryNotFound");
      json(response, 404, { error: "Entry not found" });
      return;
    }
    response.setHeader("x-repo-commit", commit!);
    if (isLarge(file, content.length)) {
      response.setHeader("x-linked-etag", `"${sha256(content)}"`);
      response.setHeader("x-linked-size", String(content.length));
      this.uploads.set(sha256(content), content);
      response.writeHead(302, { location: `${this.filesOrigin}/${sha256(content)}/${encodeURIComponent(file)}` }).end();
      return;
    }
    response.setHeader("etag", `"${gitHash(content)}"`);
    sendContent(response, logged, content);
  }

  private answerFile(response: ServerResponse, logged: LoggedRequest, body: Buffer): void {
    const content = this.uploads.get(logged.url.split("/")[1]!);
    if (this.faulty(logged, response, content)) return;
    if (logged.method === "PUT") this.storeUpload(response, logged.url, body);
    else if (content === undefined) response.writeHead(404).end();
    else sendContent(response, logged, content);
  }

  private storeUpload(response: ServerResponse, path: string, body: Buffer): void {
    const oid = path.split("/").at(-1)!;
    if (sha256(body) !== oid) {
      response.writeHead(400).end("wrong hash");
      return;
    }
    this.uploads.set(oid, body);
    response.writeHead(200, { etag: `"${oid}"` }).end();
  }

  private createRepository(response: ServerResponse, logged: LoggedRequest, body: Buffer): void {
    if (logged.authorization === undefined) {
      json(response, 401, { error: "Invalid username or password." });
      return;
    }
    const payload = JSON.parse(body.toString()) as { organization: string; name: string; visibility?: string };
    const name = `${payload.organization}/${payload.name}`;
    if (this.repositories.has(`model:${name}`)) {
      json(response, 409, { error: "You already created this model repo" });
      return;
    }
    this.put(name, { ".gitattributes": "*.safetensors filter=lfs\n" }, { private: payload.visibility === "private" });
    json(response, 200, { url: `${this.endpoint}/${name}`, id: "1" });
  }

  private batch(response: ServerResponse, body: Buffer): void {
    const { objects } = JSON.parse(body.toString()) as { objects: { oid: string; size: number }[] };
    const answers = objects.map(({ oid, size }) => ({
      oid,
      size,
      ...(this.uploads.has(oid) ? {} : { actions: { upload: { href: `${this.filesOrigin}/upload/${oid}` } } }),
    }));
    json(response, 200, { transfer: "basic", objects: answers });
  }

  private acceptCommit(response: ServerResponse, repository: Repository, branch: string, body: Buffer): void {
    const lines = body
      .toString()
      .split("\n")
      .map((line) => JSON.parse(line) as { key: string; value: Record<string, string> });
    const base = repository.commits.get(repository.refs.get(branch) ?? "");
    const files = new Map(base ?? []);
    for (const { key, value } of lines) {
      if (key === "file") files.set(value.path!, Buffer.from(value.content!, "base64"));
      else if (key === "lfsFile") {
        const content = this.uploads.get(value.oid!);
        if (content === undefined) {
          json(response, 400, { error: `LFS object ${value.oid} was not uploaded` });
          return;
        }
        files.set(value.path!, content);
      }
    }
    const sha = this.commit(repository, branch, files);
    json(response, 200, {
      success: true,
      commitOid: sha,
      commitUrl: `${this.endpoint}/${repository.name}/commit/${sha}`,
    });
  }
}
