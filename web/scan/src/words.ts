import type { Judgement } from "./label.ts";

export type Tone = "good" | "warn" | "bad" | "wait";
type Phrase = [tone: Tone, title: string, text: string];

export type Words = {
  tag: string; other: string; title: string; lead: string; start: string; searching: string; again: string; details: string; photo: string; type: string;
  state: Record<"nocamera" | "denied" | "insecure" | "busy" | "nothing" | "foreign" | "offline" | "asking" | "unsigned" | "limited", Phrase>;
  offline: Record<Judgement, Phrase>;
  online: Record<string, Phrase>;
  lot: string; gtin: string; made: string; expires: string; scans: (n: number) => string; notCopied: string;
  verify: { title: string; lead: string; link: string; keys: string; file: string; go: string; badLink: string; badKeys: string; insecure: string };
};

const zh: Words = {
  tag: "zh-CN", other: "English", title: "扫一扫，验真伪", lead: "将商品上的二维码放入框内。", start: "打开摄像头", searching: "正在寻找二维码…",
  again: "再扫一个", details: "查看详情", photo: "从照片中识别", type: "手动输入 18 位数字",
  state: {
    nocamera: ["wait", "没有可用的摄像头", "可以拍一张二维码的照片来识别，或手动输入数字。"],
    denied: ["wait", "摄像头未获授权", "请在浏览器设置中允许使用摄像头，然后重试。"],
    insecure: ["wait", "此连接无法使用摄像头", "浏览器只允许在 https 页面使用摄像头。"],
    busy: ["wait", "摄像头被占用", "请关闭其他正在使用摄像头的应用，然后重试。"],
    nothing: ["wait", "照片中没有找到二维码", "请靠近一些、光线充足时再拍一张。"],
    foreign: ["warn", "不是本站的二维码", "这个二维码不属于这里，无法在此查验。它可能指向别处，请小心。"],
    offline: ["wait", "暂时无法确认", "没有网络，且此标签没有离线签名。请联网后再扫一次。"],
    asking: ["wait", "正在查询…", ""],
    unsigned: ["wait", "无法离线查验", "此标签没有签名，需要联网查验。"],
    limited: ["wait", "查询过于频繁", "请稍候片刻再试。"],
  },
  offline: {
    issued: ["good", "标签由品牌方签发", "离线签名有效。"],
    expired: ["bad", "已过期", "标签由品牌方签发，但商品已过有效期。"],
    key_revoked: ["bad", "签名密钥已吊销", "此标签的签名已不再被认可，请联网查验。"],
    key_unknown: ["wait", "暂时无法确认", "本机没有此标签的公钥，请联网后再扫一次。"],
    forged: ["bad", "签名无效", "此标签不是由品牌方签发的，很可能是假冒品。"],
  },
  online: {
    authentic: ["good", "正品", "由品牌方签发，状态正常。"], authentic_again: ["good", "正品，曾被查询", "由品牌方签发，状态正常。"],
    sold: ["warn", "已售出", "如不是您购买的，请留意。"], inactive: ["warn", "尚未启用", "商品尚未放行销售。"],
    suspicious: ["bad", "状态异常", "品牌方已将此商品标记为异常，请勿购买或使用。"], consumed: ["warn", "已兑换", "此码的权益已被使用。"],
    recalled: ["bad", "已召回，请停用", "请立即停止使用，并联系品牌方。"], void: ["bad", "已作废", "此码已被撤回，请勿购买。"],
    expired: ["bad", "已过期", "商品已过有效期。"], superseded: ["warn", "链接已失效", "请扫描商品上的二维码，而不是截图或分享的链接。"],
    unknown: ["bad", "查无此码", "此码不是由我们签发的，商品很可能是假冒品。"], unconfirmed: ["wait", "暂时无法确认", "请几分钟后再扫一次。"],
  },
  lot: "批号", gtin: "商品条码", made: "签发于", expires: "有效期至", scans: (n) => `第 ${n} 次查询`,
  notCopied: "签名证明标签由品牌方签发，不能证明没有被复制，也不含召回、售出等最新状态。联网后请再查一次。",
  verify: {
    title: "离线验证标签签名", lead: "此页面不联网。可保存后在任何地方打开。", link: "标签的链接", keys: "公钥文件（/.well-known/chopmark-keys.json 的内容）",
    file: "或选择文件", go: "验证", badLink: "链接中没有标签签名。", badKeys: "这不是公钥文件。", insecure: "此浏览器在这里不提供所需的加密功能：请用 https 打开，或保存后从磁盘打开。",
  },
};

const en: Words = {
  tag: "en", other: "中文", title: "Scan to check an item", lead: "Hold the code on the item into the frame.", start: "Start the camera", searching: "Looking for a code…",
  again: "Scan another", details: "Show details", photo: "Read it from a photo", type: "Type the 18 digits",
  state: {
    nocamera: ["wait", "No camera here", "Take a photo of the code and choose it, or type the digits."],
    denied: ["wait", "The camera is not allowed", "Allow the camera for this page in your browser’s settings, then try again."],
    insecure: ["wait", "No camera on this connection", "Browsers give the camera to https pages alone."],
    busy: ["wait", "The camera is in use", "Close other apps that use the camera, then try again."],
    nothing: ["wait", "No code in this photo", "Try again closer, with more light."],
    foreign: ["warn", "Not a code of this site", "This code does not belong here and cannot be checked. It may lead elsewhere: be careful."],
    offline: ["wait", "Cannot confirm right now", "There is no network, and this label has no signature. Scan it again when you are online."],
    asking: ["wait", "Asking…", ""],
    unsigned: ["wait", "Cannot be checked offline", "This label has no signature: it needs a network."],
    limited: ["wait", "Too many checks", "Please wait a little and try again."],
  },
  offline: {
    issued: ["good", "Label issued by the brand", "The signature is good."],
    expired: ["bad", "Expired", "The brand issued this label, but the item is past its date."],
    key_revoked: ["bad", "Signed with a revoked key", "This label’s signature is no longer accepted. Check it online."],
    key_unknown: ["wait", "Cannot confirm right now", "This phone does not have the key of this label. Scan it again when you are online."],
    forged: ["bad", "The signature is wrong", "The brand did not issue this label: the item is very likely counterfeit."],
  },
  online: {
    authentic: ["good", "Genuine", "The brand issued this code and all is in order."],
    authentic_again: ["good", "Genuine, checked before", "The brand issued this code and all is in order."],
    sold: ["warn", "Already sold", "If it was not you who bought it, be careful."], inactive: ["warn", "Not released yet", "The brand has not released this item for sale."],
    suspicious: ["bad", "Something is wrong", "The brand has flagged this item. Do not buy or use it."], consumed: ["warn", "Already redeemed", "What this code was good for has been used."],
    recalled: ["bad", "Recalled: stop using it", "Stop using it now and ask the brand."], void: ["bad", "Void", "This code was withdrawn. Do not buy the item."],
    expired: ["bad", "Expired", "This item is past its date."], superseded: ["warn", "This link is out of date", "Scan the code on the item itself, not a screenshot."],
    unknown: ["bad", "No such code", "We did not issue this code: the item is very likely counterfeit."], unconfirmed: ["wait", "Cannot confirm right now", "Please scan again in a few minutes."],
  },
  lot: "Lot", gtin: "GTIN", made: "Issued", expires: "Good until", scans: (n) => (n === 1 ? "First scan" : `Scanned ${n} times`),
  notCopied: "A signature proves that the brand issued this label. It does not prove that the label was not copied, and knows nothing of recalls or sales since. Check again when you are online.",
  verify: {
    title: "Verify a label offline", lead: "This page asks no server. Save it and open it anywhere.", link: "The label’s link", keys: "The keys (what /.well-known/chopmark-keys.json says)",
    file: "Or choose the file", go: "Verify", badLink: "This link carries no label signature.", badKeys: "This is no document of keys.",
    insecure: "This browser has no cryptography here: open the page over https, or save it and open it from your disk.",
  },
};

/** The language that was chosen, else the browser's. */
export function language(): "zh" | "en" {
  const asked = new URLSearchParams(location.search).get("lang");
  if (asked === "zh" || asked === "en") return asked;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export const words = (lang: "zh" | "en"): Words => (lang === "zh" ? zh : en);
