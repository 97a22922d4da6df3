import { crc32, deflateSync, inflateSync } from "node:zlib";

function file(width: number, height: number, colours: 2 | 3, more: Buffer[], pixels: Buffer): Buffer {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width);
  head.writeUInt32BE(height, 4);
  head.set([8, colours], 8);
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", head), ...more, chunk("IDAT", deflateSync(pixels, { level: 9 })), chunk("IEND", Buffer.alloc(0))]);
}

function chunk(kind: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(kind), data]), out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
}

/** A PNG of one colour. */
export function png(width: number, height: number, colour: readonly [number, number, number]): Buffer {
  const row = Buffer.from([0, ...Array.from({ length: width }, () => colour).flat()]);
  return file(width, height, 2, [], Buffer.concat(Array.from({ length: height }, () => row)));
}

/** A picture of the screen in its 256 most frequent colours, a third of its size; others become the nearest of them. */
export function small(raw: Buffer): Buffer {
  const width = raw.readUInt32BE(16), height = raw.readUInt32BE(20), each = raw[25] === 6 ? 4 : 3, line = width * each, parts: Buffer[] = [];
  for (let at = 8; at < raw.length; at += raw.readUInt32BE(at) + 12) if (raw.toString("latin1", at + 4, at + 8) === "IDAT") parts.push(raw.subarray(at + 8, at + 8 + raw.readUInt32BE(at)));
  const rows = inflateSync(Buffer.concat(parts)), pixels = Buffer.alloc(line * height);
  for (let y = 0; y < height; y++) {
    const filter = rows[y * (line + 1)]!;
    for (let x = 0; x < line; x++) {
      const at = y * line + x, left = x < each ? 0 : pixels[at - each]!, up = y ? pixels[at - line]! : 0, corner = y && x >= each ? pixels[at - line - each]! : 0;
      const guess = left + up - corner, [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
      pixels[at] = rows[y * (line + 1) + 1 + x]! + [0, left, up, (left + up) >> 1, a <= b && a <= c ? left : b <= c ? up : corner][filter]!;
    }
  }
  const counts = new Map<number, number>(), colours = new Uint32Array(width * height);
  for (let i = 0; i < colours.length; i++) {
    const colour = (colours[i] = pixels.readUIntBE(i * each, 3));
    counts.set(colour, (counts.get(colour) ?? 0) + 1);
  }
  const palette = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 256).map(([c]) => c), index = new Map(palette.map((c, i) => [c, i]));
  const far = (a: number, b: number): number => [16, 8, 0].reduce((n, bits) => n + (((a >> bits) & 255) - ((b >> bits) & 255)) ** 2, 0);
  for (const c of counts.keys()) if (!index.has(c)) index.set(c, palette.reduce((best, p, i) => (far(c, p) < far(c, palette[best]!) ? i : best), 0));
  const out = Buffer.alloc((width + 1) * height);
  for (let i = 0; i < colours.length; i++) out[Math.floor(i / width) * (width + 1) + 1 + (i % width)] = index.get(colours[i]!)!;
  return file(width, height, 3, [chunk("PLTE", Buffer.from(palette.flatMap((c) => [c >> 16, (c >> 8) & 255, c & 255])))], out);
}
