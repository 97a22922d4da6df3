// What a mark says: a link of ours with a code, or something else.
export type Mark = { code: string; token: string; signature: string };

/** Reads a link of the given host, or a GS1 element string; null for anything else. */
export function parseMark(text: string, host: string): Mark | null {
  const elements = gs1(text);
  if (elements) return elements;
  let url: URL;
  try {
    url = new URL(text.trim());
  } catch {
    return null;
  }
  if (url.host.toLowerCase() !== host.toLowerCase() || !/^https?:$/.test(url.protocol)) return null;
  const signature = url.searchParams.get("s") ?? "";
  const short = /^\/([0-9]{18})(?:\/([0-9A-Za-z]{18}))?$/.exec(url.pathname);
  if (short) return { code: short[1]!, token: short[2] ?? url.searchParams.get("token") ?? "", signature };
  const link = /^\/01\/[0-9]{8,14}(?:\/(?:22|10)\/[^/]+)*\/21\/([0-9]{18})$/.exec(url.pathname);
  return link ? { code: link[1]!, token: "", signature } : null;
}

/** GS1 DataMatrix: (01) GTIN and (21) serial, in any order of the rest that we print. */
function gs1(text: string): Mark | null {
  let rest = text.replace(/^\]d2/, "").replace(/^\x1d/, "");
  let code = "", gtin = "";
  while (rest) {
    const fixed = /^(01\d{14}|1[1357]\d{6})/.exec(rest);
    const field = fixed ? fixed[1]! : /^(?:10|21|22)[^\x1d]{1,20}/.exec(rest)?.[0];
    if (!field) return null;
    if (field.startsWith("01") && fixed) gtin = field.slice(2);
    if (field.startsWith("21")) code = field.slice(2);
    rest = rest.slice(field.length).replace(/^\x1d/, "");
  }
  return gtin && /^[0-9]{18}$/.test(code) ? { code, token: "", signature: "" } : null;
}
