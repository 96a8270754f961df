/**
 * A registry on loopback for one test: it has the tarballs of a folder, and asks the registry that npm is set up with for
 * every other package.
 */

import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

interface Packed {
  readonly file: string;
  readonly manifest: { readonly name: string; readonly version: string };
  readonly bytes: Buffer;
}

export interface Registry {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves the tarballs in `folder`; what is not there comes from `upstream`. */
export async function startRegistry(folder: string, upstream: string): Promise<Registry> {
  const packed = new Map<string, Packed>();
  for (const file of (await readdir(folder)).filter((name) => name.endsWith(".tgz"))) {
    const bytes = await readFile(join(folder, file));
    const manifest = manifestOf(bytes);
    packed.set(manifest.name, { file, manifest, bytes });
  }
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      response.writeHead(502).end(String(error));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = decodeURIComponent(new URL(request.url!, url).pathname.slice(1));
    const tarball = [...packed.values()].find(({ file }) => path === `tarballs/${file}`);
    if (tarball !== undefined) {
      response.writeHead(200, { "content-type": "application/octet-stream" }).end(tarball.bytes);
      return;
    }
    const own = packed.get(path);
    if (own !== undefined) {
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(packument(own)));
      return;
    }
    // A platform of Aha's that was not packed here is not in any registry either.
    if (path.startsWith("@aha-rl/")) {
      response.writeHead(404, { "content-type": "application/json" }).end('{"error":"not found"}');
      return;
    }
    const forwarded = await fetch(new URL(request.url!.slice(1), upstream.endsWith("/") ? upstream : `${upstream}/`), {
      headers: { accept: request.headers.accept ?? "application/json" },
    });
    const type = forwarded.headers.get("content-type") ?? "application/json";
    response.writeHead(forwarded.status, { "content-type": type }).end(Buffer.from(await forwarded.arrayBuffer()));
  }

  function packument({ file, manifest, bytes }: Packed) {
    const { name, version } = manifest;
    const integrity = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
    const dist = { tarball: `${url}/tarballs/${file}`, integrity };
    return { name, "dist-tags": { latest: version }, versions: { [version]: { ...manifest, dist } } };
  }

  return {
    url,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The package.json in a tarball: 512 bytes of header before each file, its name first, its size in octal at 124. */
function manifestOf(tarball: Buffer): Packed["manifest"] {
  const tar = gunzipSync(tarball);
  for (let at = 0; at < tar.length; ) {
    const name = tar.toString("latin1", at, at + 100).replace(/\0.*$/s, "");
    const size = Number.parseInt(tar.toString("latin1", at + 124, at + 136), 8) || 0;
    if (name === "package/package.json") return JSON.parse(tar.toString("utf8", at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  throw new Error("A tarball has no package.json.");
}
