import { prepareZXingModule, readBarcodes } from "zxing-wasm/reader";
import wasm from "zxing-wasm/reader/zxing_reader.wasm?url";

const ready = prepareZXingModule({ overrides: { locateFile: () => wasm }, fireImmediately: true });

export async function read(picture: ImageData): Promise<string> {
  await ready;
  const found = await readBarcodes(picture, { formats: ["QRCode", "DataMatrix"], tryHarder: true, maxNumberOfSymbols: 1, textMode: "Plain" });
  return found.find((r) => r.isValid)?.text ?? "";
}
