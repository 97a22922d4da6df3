const places = [["浙江省", "杭州市"], ["广东省", "深圳市"], ["四川省", "成都市"], ["上海", "上海市"], ["贵州省", "遵义市"], ["山东省", "青岛市"], ["湖北省", "武汉市"], ["北京", "北京市"]] as const;

/** An address in the place of that number. */
export const address = (place: number, host: number): string => `11.${place % places.length}.0.${host}`;

/** An ip2region file of structure 2 in which each place has a /16 of its own; internal/platform/geoip/xdb.go has the layout. */
export function xdb(): Buffer {
  const vectorAt = 256, textsAt = vectorAt + 256 * 256 * 8, each = 14;
  const texts = places.map(([province, city]) => Buffer.from(`中国|0|${province}|${city}|电信`)), start = textsAt + texts.reduce((n, t) => n + t.length, 0);
  const file = Buffer.alloc(start + each * places.length);
  file.writeUInt16LE(2, 0);
  file.writeUInt16LE(1, 2);
  file.writeUInt32LE(1_767_225_600, 4);
  file.writeUInt32LE(start, 8);
  file.writeUInt32LE(start + each * (places.length - 1), 12);
  let at = textsAt;
  texts.forEach((text, i) => {
    const line = start + each * i, first = 11 * 2 ** 24 + i * 2 ** 16, vector = vectorAt + (11 * 256 + i) * 8;
    text.copy(file, at);
    file.writeUInt32LE(first, line);
    file.writeUInt32LE(first + 65_535, line + 4);
    file.writeUInt16LE(text.length, line + 8);
    file.writeUInt32LE(at, line + 10);
    file.writeUInt32LE(line, vector);
    file.writeUInt32LE(line + each, vector + 4);
    at += text.length;
  });
  return file;
}
