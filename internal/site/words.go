package site

// The words of the pages. They are template text: what stands in {{…}} is filled in,
// escaped, when a page is rendered. TestWordsAreComplete holds both languages to all of
// them.

// phrase is what a verdict says.
type phrase struct {
	Tone  string // the colour: good, warn, bad, wait
	Title string
	Means string // one sentence: what it means
	Do    string // what to do
	Shows string // on the demo sheet: what this code shows
}

// noticePhrase is what a notice says.
type noticePhrase struct{ Tone, Title, Means, Do string }

// words is one language.
type words struct {
	Lang, Tag, Other, OtherTag, OtherName string
	TimeLayout                            string // its spaces do not break

	Verdicts map[string]phrase
	Notices  map[int]noticePhrase // by HTTP status
	Stages   map[string]string
	Doings   map[string]string // business steps and dispositions of the standard
	Facts    map[string]string // details of a step

	BatchNo, Made, Expires, Sold                            string
	Reason, Scans, ScanCount, FirstOn, Comma, NoPlace       string
	Inner, InnerAsk, InnerGo                                string
	InnerOK, InnerAgain, InnerCare, InnerWrong, InnerLocked string
	Journey, JourneyMore, Loading, Help, HelpDefault        string
	ChartTitle, Proof, StepsLeft                            string
	Zone, Reference                                         string
	DemoTitle, DemoLead                                     string
	FrontTitle, FrontText, FrontAsk, FrontScan              string
	ComplainLink, ComplainTitle, ComplainText               string
	ComplainAsk, ComplainPhoto, ComplainPlace, ComplainCode string
	ComplainGo, ComplainNote                                string
	ComplainThanks, ComplainThanksText                      string
	SignInTitle, OfferText, OfferConsole                    string
	OfferButton, OfferNote                                  string
	ShownTitle, ShownText, ShownUse, ShownNote              string
	Copy, Copied, SpentTitle, SpentText, SpentNext          string
}

// many is authentic_again for a code that was scanned suspiciously often.
const many = "authentic_many"

func chinese() words {
	return words{
		Lang: "zh", Tag: "zh-CN", Other: "en", OtherTag: "en", OtherName: "English",
		TimeLayout: "2006年1月2日\u00a015:04",
		Verdicts:   chineseVerdicts(),
		Notices: map[int]noticePhrase{
			400: {"warn", "链接不完整", "商品码应为\u00a018\u00a0位数字，这个链接里的不是。", "请重新扫描商品上的二维码，或核对手动输入的数字。"},
			404: {"wait", "没有这个页面", "这个地址下没有内容。", "如需查验商品，请扫描商品上的二维码。"},
			429: {"wait", "查询过于频繁", "来自您所在网络的查询太多，请稍候。", "请稍候，页面会自动重试。"},
			500: {"wait", "暂时无法确认", "我们这边出了问题，与您的商品无关。", "请稍后再扫一次。"},
			503: {"wait", "暂时无法确认", "系统暂时繁忙，与您的商品无关。", "请稍候，几秒后再试一次。"},
		},
		Stages: map[string]string{"production": "生产", "processing": "加工", "logistics": "物流", "sales": "销售", "quality": "质量"},
		Doings: chineseDoings(), Facts: chineseFacts(),
		BatchNo: "批号", Made: "生产日期", Expires: "有效期至", Sold: "售出",
		Reason: "说明", Scans: "查询记录",
		ScanCount: "第 {{.Count}} 次查询", FirstOn: "首次查询于 ", Comma: "，", NoPlace: "地点未知",
		Inner: "涂层码验证", InnerAsk: "刮开涂层，输入下面的 8 位防伪码", InnerGo: "验证",
		InnerOK:     "✓ 防伪码正确，这是首次验证。",
		InnerAgain:  "✓ 防伪码正确，首次验证于 {{.First}}。",
		InnerCare:   "如果那次不是您本人验证，请谨慎：涂层可能已被他人刮开。",
		InnerWrong:  "✗ 防伪码不正确，请核对后重试{{with .TriesLeft}}，还可尝试 {{.}} 次{{end}}。",
		InnerLocked: "✗ 防伪码多次输入错误，已停止验证。请联系品牌方。",
		Journey:     "流通记录", JourneyMore: "查看完整记录", ChartTitle: "途中温度", Proof: "✓ 核验存证", StepsLeft: "另有 {{.After}} 步未显示", Loading: "数据加载中", Help: "有疑问？请联系", HelpDefault: "品牌方客服，或您购买商品的商家。",
		Zone: "时间按 {{.}} 时区显示", Reference: "反馈编号 {{.}}",
		DemoTitle: "演示二维码", DemoLead: "用手机扫一扫，看看每一种结果。需要保存时，可直接打印本页。",
		FrontScan: "用摄像头扫码", ComplainLink: "有问题？告诉品牌方", ComplainTitle: "商品有问题？", ComplainText: "请告诉品牌方您发现的问题。无需留下姓名。",
		ComplainAsk: "哪里有问题？", ComplainPhoto: "照片（可选，不超过 2 MB）", ComplainPlace: "在哪里看到的（可选）", ComplainCode: "商品上的 18 位数字（若有）",
		ComplainGo: "提交", ComplainNote: "照片中的拍摄地点和设备信息会被去除。",
		ComplainThanks: "谢谢", ComplainThanksText: "我们已收到您的反馈，会转交给负责的人。",
		FrontTitle: "查验商品", FrontText: "请用手机扫描商品上的二维码。", FrontAsk: "或输入码下方的 18 位数字",
		SignInTitle: "管理员登录", OfferText: "此链接只能使用一次：创建一个管理员账户，或显示管理员密钥。", OfferConsole: "在控制台创建我的账户",
		OfferButton: "显示我的管理员密钥", OfferNote: "密钥只显示这一次。请先准备好保存它的地方，例如密码管理器。",
		ShownTitle: "您的管理员密钥", ShownText: "请立即保存。离开本页后，将无法再次查看。",
		ShownUse: "在程序中用它调用接口：", ShownNote: "持有此密钥的人可以执行所有管理操作，请勿写入代码或发给他人。",
		Copy: "复制", Copied: "已复制",
		SpentTitle: "链接已使用或已过期", SpentText: "登录链接只能使用一次，24 小时内有效。如果您没有保存密钥，请联系其他管理员；如果链接不是您本人使用的，请立即停用由它生成的密钥。",
		SpentNext: "在服务器上运行以下命令，可获得新的链接：",
	}
}

func chineseVerdicts() map[string]phrase {
	return map[string]phrase{
		"authentic": {"good", "正品", "此码由品牌方签发，状态正常。{{if eq .Count 1}}您是第一位查询者。{{end}}",
			"请核对下方信息是否与手中商品一致。", "正品，第一次查询。"},
		"authentic_again": {"good", "正品，曾被查询", "此码由品牌方签发，状态正常。{{if gt .Count 1}}这是第 {{.Count}} 次查询。{{end}}",
			"您或家人再次扫码属于正常。如果您是首位购买者，而首次查询并非您本人，请谨慎。", "正品，再次扫描时的提示。多扫几次试试。"},
		many: {"warn", "查询次数偏多", "此码由品牌方签发，但已被查询 {{.Count}} 次。",
			"请核对首次查询的时间和地点。如果您刚买到新品而这些与您不符，此码可能被复制，请联系品牌方。", "真码，但被查询了很多次，可能被复制。"},
		"sold": {"warn", "已售出", "此商品已{{with .SoldAt}}于 {{.}} {{end}}{{with .SoldPlace}}在{{.}}{{end}}售出。",
			"如果是您在那里购买的，一切正常；如果有人把它当作新品卖给您，请谨慎。", "已售出的商品，显示售出时间和地点。"},
		"inactive": {"warn", "尚未启用", "此码由品牌方签发，但商品尚未放行销售。",
			"如果商品已在售卖，请先不要购买，并联系品牌方。", "已制码，尚未放行销售。"},
		"suspicious": {"bad", "状态异常", "品牌方已将此商品标记为异常，例如失窃、损坏或来源不符。",
			"请不要购买或使用，并联系品牌方。", "失窃、损坏或来源不符的商品。"},
		"consumed": {"warn", "已兑换", "此码的权益已经使用过，不能再次使用。",
			"如果不是您本人兑换的，请联系品牌方。", "权益已被兑换的码。"},
		"recalled": {"bad", "已召回，请停用", "品牌方{{with .Since}}自 {{.}} 起{{end}}召回此商品。",
			"请立即停止使用，保留商品，联系品牌方退换。", "被召回的商品，显示原因。"},
		"void": {"bad", "已作废", "此码已被作废，不应再出现在任何在售商品上。",
			"请不要购买或使用，并联系品牌方。", "作废或已销毁的商品。"},
		"expired": {"bad", "已过期", "此商品的有效期已过{{with .Expires}}（{{.}}）{{end}}。",
			"请不要食用或使用；如仍在售卖，请联系品牌方。", "超过有效期的商品。"},
		"superseded": {"warn", "链接已失效", "这个链接{{with .Since}}自 {{.}}\u00a0起{{end}}不再有效，商品本身未必有问题。",
			"请直接扫描商品上的二维码，不要使用转发的链接或截图。", "转发的旧链接或截图：请重新扫码。"},
		"unknown": {"bad", "查无此码", "此码不是由我们签发的。",
			"如果它印在商品上，商品很可能是仿冒品，请不要购买或使用。如果是手动输入，请核对 18 位数字。", "伪造的码，或输错的数字。"},
		"unconfirmed": {"wait", "暂时无法确认", "系统暂时取不到此商品{{with .Since}} {{.}} 以后{{end}}的最新状态，这并不表示商品有问题。",
			"请几分钟后再扫一次。在此之前，请不要据此判断真伪。", "与中心断开时：不猜测，请稍后再扫。"},
	}
}
