// What finds a symbol in a picture: the browser's own detector where it knows QR and
// DataMatrix, else ZXing as WebAssembly, which is loaded only then.
export type Decoder = (picture: HTMLVideoElement | ImageBitmap) => Promise<string>;

type Detector = { detect(source: CanvasImageSource): Promise<{ rawValue: string }[]> };
type Detectors = { new (o: { formats: string[] }): Detector; getSupportedFormats(): Promise<string[]> };

const formats = ["qr_code", "data_matrix"];

export async function decoder(): Promise<Decoder> {
  const native = (globalThis as { BarcodeDetector?: Detectors }).BarcodeDetector;
  const known = native ? await native.getSupportedFormats().catch(() => []) : [];
  if (native && formats.every((f) => known.includes(f))) {
    const detector = new native({ formats });
    return async (picture) => (await detector.detect(picture))[0]?.rawValue ?? "";
  }
  const { read } = await import("./zxing.ts");
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d", { willReadFrequently: true })!;
  return async (picture) => {
    const [w, h] = picture instanceof HTMLVideoElement ? [picture.videoWidth, picture.videoHeight] : [picture.width, picture.height];
    if (!w || !h) return "";
    const scale = Math.min(1, 1280 / Math.max(w, h));
    canvas.width = Math.round(w * scale);
    canvas.height = Math.round(h * scale);
    pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
    return read(pen.getImageData(0, 0, canvas.width, canvas.height));
  };
}
