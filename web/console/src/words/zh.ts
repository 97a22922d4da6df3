const zh = {
  skip: "跳到内容", menu: "菜单", again: "重试", more: "继续加载", requestId: "请求编号", signOut: "退出", otherLanguage: "English", dark: "深色",
  save: "保存", cancel: "取消", close: "关闭", search: "查找", copy: "复制", copied: "已复制", reason: "原因", reasonHint: "会写入历史，之后不能修改", none: "无", all: "全部", loading: "加载中…", refresh: "刷新", name: "名称", number: "编号", created: "创建时间", edit: "编辑", add: "添加", remove: "移除", next: "下一步", yes: "是", no: "否", saved: "已保存", days: "{n} 天",
  nav: {
    goods: "商品", people: "人员", system: "系统", overview: "总览", products: "品牌与产品", batches: "批次", codes: "查码", events: "事件", log: "透明日志",
    users: "用户与角色", keys: "API 密钥", approvals: "审批", audit: "审计日志", deadletters: "死信", health: "运行状况", me: "我的账户", settings: "品牌设置", tenants: "租户", tasks: "任务", trace: "追溯", complaints: "投诉", connections: "系统对接", subscriptions: "事件订阅",
  },
  status: {
    offline: "连接不到服务器", offlineHint: "请检查网络后重试；未收到结果的修改会以同一编号重发，不会重复生效。",
    400: "提交的内容有误，请按下方提示修改后重试。", 401: "登录已失效，请重新登录。", 403: "您的角色没有这项权限，请联系管理员。", 404: "内容不存在，或不在您的品牌范围内。", 409: "当前状态不允许此操作，请刷新后重试。", 413: "内容过大，请分批提交。",
    422: "同一编号已用于另一项内容，请重新提交。", 429: "请求过于频繁，请稍后再试。", 500: "服务器内部错误；请把请求编号交给管理员。", 503: "服务暂时不可用，稍后会恢复。",
  },
  errors: {
    signin_second_factor: "请输入动态验证码或恢复码，或使用通行密钥。", signin_too_fast: "尝试过于频繁，请稍后再试；等待时间会逐次延长。", signin_busy: "同时登录的人太多，请稍后再试。", auth_second_factor_needed: "管理员须先设置动态验证码或通行密钥，见“我的账户”。",
    link_unknown: "链接无效、已用过或已过期，请让管理员再发一个。", signin_unknown: "链接无效、已用过或已过期；在服务器上运行 chopmark sign-in 可得到新的链接。", totp_wrong: "请等下一个验证码再试，并检查手机时间是否准确。", password_wrong: "请输入当前密码。", approval_same_person: "请由另一人批准。",
    user_exists: "请换一个账号。", user_last_admin: "请先设另一位管理员。", role_used: "请先给使用者换角色。", key_last: "请先创建另一把管理员密钥。", tenant_codes_used_up: "今日配额已用完，请明天再试或请管理员提高配额。", passkey_no_domain: "通行密钥需要域名，请用 --public-url https://域名 启动。", item_unknown: "没有这个码，或不属于您的品牌；请核对 18 位数字。", code_unknown: "没有这个码，或不属于您的品牌；请核对 18 位数字。",
    batch_exists: "同一产品下批号不能重复，请换一个批号。", batch_exhausted: "该批次已无未领取的码，请新建批次。", approval_required: "数量超过限额，已提交审批，等待另一人批准。",
    signin_refused: "账号、密码或验证码不对。多次失败后需等待。", signin_needs_https: "请通过 HTTPS 打开本页。",
  },
  signin: {
    title: "登录", login: "账号", password: "密码", code: "动态验证码", recovery: "恢复码", useRecovery: "改用恢复码", useCode: "改用动态验证码", submit: "登录", passkey: "使用通行密钥", provider: "使用企业账号登录", first: "创建第一位管理员", firstHint: "此链接只能使用一次。",
    accept: "设置密码", acceptHint: "至少 10 个字符；可用一句话。", name: "姓名", email: "邮箱", done: "密码已设置，请登录。",
    ended: { replaced: "您在另一台设备登录，本设备已退出。", forced: "此会话已被结束，请重新登录。", password_changed: "密码已更改，请重新登录。", account_changed: "您的角色或权限已更改，请重新登录。", disabled: "账号已停用，请联系管理员。", erased: "账号已注销。", signed_out: "您已退出。", expired: "登录已过期，请重新登录。" },
  },
  state: {
    encoded: "已生成", inactive: "未激活", active: "已激活", in_progress: "处理中", in_transit: "运输中", sellable_accessible: "在售", sellable_not_accessible: "店内库存",
    retail_sold: "已售出", dispensed: "已发药", returned: "已退回", recalled: "已召回", stolen: "被盗", damaged: "损坏", no_pedigree_match: "单据不符", destroyed: "已销毁",
    disposed: "已废弃", expired: "已过期", void: "已作废", reissued: "已换发", inner_code_checked: "内码已查验", pending: "待审批", approved: "已批准", done: "已完成",
    open: "待处理", closed: "已处理", queued: "排队中", running: "进行中", failed: "失败",
    rejected: "已拒绝", invited: "已邀请", disabled: "已停用", erased: "已注销",
  },
  verdict: {
    inactive: "未激活", authentic: "正品（首次）", authentic_again: "正品（再次）", sold: "已售正品", suspicious: "可疑", consumed: "内码已用", recalled: "已召回", void: "已作废",
    expired: "已过期", superseded: "旧标签", unconfirmed: "待确认",
  },
  role: {
    admin: "管理员", operator: "操作员", dealer: "经销商", auditor: "审计员", machine: "机器",
  },
  overview: {
    hint: "最近扫码与待处理事项", now: "上一分钟扫码", day: "24 小时扫码", items: "24 小时首次扫码", doubted: "24 小时可疑扫码", perMinute: "每分钟扫码", lag: "延迟 {s} 秒，待处理 {n} 条",
    verdicts: "判定", top: "扫码最多的产品", provinces: "省份", none: "24 小时内没有扫码。", unknownPlace: "未知地点",
  },
  find: {
    title: "搜索", placeholder: "产品、批次、地点、事件", hint: "名称、编号或标识的任意一部分；多个词可缩小范围。方向键选择，回车打开。",
    none: "没有找到“{q}”。可尝试更短的词，或编号的一部分。", filling: "正在建立索引：有些内容可能暂时搜不到。", count: "找到 {n} 条",
    kinds: { product: "产品", batch: "批次", place: "地点", event: "EPCIS 事件" },
  },
  guide: {
    title: "开始使用", brand: "创建品牌", brandHint: "商品属于一个品牌", product: "创建产品", productHint: "扫码页上显示的名称和说明", batch: "新建批次", batchHint: "一次可生成 1 到 100 亿个码",
    file: "下载、激活、扫码", fileHint: "把文件交给印刷厂，激活后扫码即为正品",
  },
  products: {
    hint: "品牌和产品的名称与说明会显示在扫码页上", brands: "品牌", products: "产品", brand: "品牌", newBrand: "新建品牌", newProduct: "新建产品", editBrand: "编辑品牌", editProduct: "编辑产品",
    noBrand: "还没有品牌", noBrandHint: "先创建品牌，再在品牌下创建产品。", noProduct: "还没有产品", noProductHint: "产品属于品牌，批次属于产品。", nameHint: "消费者会看到",
    gtinHint: "8、12、13 或 14 位，可留空", description: "说明", help: "咨询方式", helpHint: "电话或网址",
  },
  batches: {
    hint: "每个批次是一段连续的码", new: "新建批次", newHint: "码按需计算，数量再大也即时完成", no: "批号", noHint: "同一产品下不重复", product: "产品", quantity: "数量", quantityHint: "1 到 100 亿",
    states: "状态", none: "还没有批次", noneHint: "新建批次后，即可下载码、印刷、激活。", noProduct: "还没有产品", noProductHint: "批次属于产品，请先创建产品。", mark: "载体", print: "印刷，链接不变",
    display: "屏幕显示，链接可轮换", rotate: "链接轮换", rotateHint: "旧截图在轮换后失效", never: "不轮换", inner: "内码（刮层或盖内）", produced: "生产日期", expires: "有效期至",
    expiresHint: "过期后扫码显示“已过期”，可留空", description: "备注", issue: "生成 {n} 个码", label: "标签预览", labelHint: "样张，不是真码。生成后可导出标签 PDF。", scratch: "刮开", signature: "标签带签名", signatureHint: "扫码应用可离线核验真伪；仅用于印刷",
    every: {
      "1m": "1 分钟", "1h": "1 小时", "24h": "1 天", "168h": "7 天",
    },
  },
  batch: {
    unclaimedToo: "包括未领取的码",
    counts: "{n} 件商品的状态", files: "文件", codes: "已领取的 {n} 个码", claim: "领取", claimHint: "从未领取的码中取一段，交给产线或印刷厂；一万以内直接显示，更多则写成文件。", claimSubmit: "领取 {n} 个",
    claimant: "领取方", claims: "领取记录", noClaims: "没有领取记录", noClaimsHint: "整批导出不需要领取。", numbers: "序号", unclaimed: "未领取", export: "导出文件",
    exportSubmit: "导出 {n} 个码", format: "格式", labels: "标签 PDF", layout: "版式", secret: "文件中的码等同实物，请妥善保管。",
  },
  task: {
    queued: "排队中", running: "处理中", done: "已完成", failed: "失败", download: "下载", progress: "进度", file: "文件",
  },
  change: {
    title: "更改状态", to: "改为", from: "从序号", until: "到序号", place: "地点", submit: "将 {n} 件改为“{to}”", grave: "将影响 {n} 件商品，消费者扫码即可看到，且难以撤回。", done: "已更改 {n} 件",
    rest: "{same} 件原本就是此状态，{refused} 件被拒绝", refused: "被拒绝的商品", waits: "{n} 件的更改已提交，等待另一人批准", approvals: "查看审批",
  },
  codes: {
    hint: "输入、粘贴或扫描一个码，也可粘贴整条链接", code: "码", placeholder: "18 位数字或链接", noCode: "没有找到 18 位数字的码，请核对后再试。", many: "批量更改", list: "码列表",
    listHint: "每行一个、CSV 或链接都可以，一次最多 100,000 个", file: "或选择文件", found: "找到 {n} 个码", show: "显示", scanned: "被扫过", state: "状态", scans: "扫码次数", last: "最近扫码",
    where: "地点", none: "没有符合条件的码", noneHint: "只列出扫过或改过状态的码。",
  },
  code: {
    version: "标签版本", reissue: "换发标签", reissueHint: "旧标签立即失效，扫旧标签会看到“旧标签”。", qr: "二维码", until: "此链接有效至 {at}", scans: "扫码记录", changes: "变更",
    noScans: "还没有扫码。", noChanges: "没有变更。", first: "首次", far: "异地", over: "扫码与变更的时间分布", map: "扫码地点", innerUnused: "未使用", story: "流通记录", loading: "部分系统尚未响应…", unavailable: "部分系统暂时无法查询。", undo: "撤销", undoHint: "撤销改为“{state}”的更改，商品恢复到之前的状态。", undoWhole: "撤销这次更改涉及的全部商品",
  },
  me: {
    enroll: "请先开启双重验证", enrollHint: "管理员须有动态验证码或通行密钥，设置后才能使用其他页面。", recoveryCodes: "恢复码", recoveryHint: "每个只能用一次，只在此显示一次。请抄下或存到安全的地方。", kept: "我已保存",
    language: "语言", signin: "登录方式", change: "更改", totp: "动态验证码", on: "已开启", off: "未设置", setUp: "设置", left: "剩 {n} 个", renew: "重新生成", passkeys: "通行密钥",
    sessions: "已登录的设备", this: "当前设备", end: "结束", present: "当前密码", fresh: "新密码", scan: "用验证器应用扫描，或手动输入密钥，然后填写验证码。",
    ask: {
      password: "更改密码", totp: "设置动态验证码", dropTotp: "移除动态验证码", recovery: "重新生成恢复码", passkey: "添加通行密钥", dropPasskey: "移除通行密钥",
    },
  },
  users: {
    hint: "可登录的人员及其权限", invite: "邀请", link: "邀请链接", linkHint: "发给本人；只能用一次，只在此显示一次。", find: "账号、邮箱或电话（完整）", role: "角色", tenant: "租户", second: "双重验证",
    none: "没有用户", noneHint: "请输入完整内容查找；姓名和邮箱已脱敏显示。", reset: "重置密码", end: "强制下线", erase: "注销", roles: "角色", newRole: "新建角色", permissions: "{n} 项权限", phone: "电话",
    disabled: "停用此账号", resetHint: "将生成一个重设密码的链接，由本人设置。", factors: "同时移除动态验证码、通行密钥和恢复码", endHint: "此人的所有设备将在一秒内退出登录。", eraseHint: "将删除其个人资料，无法恢复；历史记录中仅保留编号。",
    eraseType: "输入 {id} 以确认", may: "允许", brands: "品牌范围", brandsHint: "不选表示租户的全部品牌",
    ask: {
      invite: "邀请用户", edit: "编辑用户", reset: "重置密码", end: "全部强制下线", erase: "注销用户", role: "角色",
    },
  },
  keys: {
    never: "长期有效",
    hint: "程序和产线用密钥调用 API", make: "新建密钥", secret: "新密钥", secretHint: "只在此显示一次，请立即保存。", kept: "我已保存", used: "最近使用", expires: "有效期", none: "没有密钥",
    revoked: "已吊销 {at}", revoke: "吊销", revokeHint: "使用“{name}”的程序会立即失去访问权限。", nameHint: "使用者，例如“三号产线”",
  },
  audit: {
    hint: "记录每次修改的人员、时间和原因，不可篡改", at: "时间", actor: "操作人", action: "操作", none: "没有记录", mine: "本租户", asked: "已请求", subject: "对象", ends: "对应请求", before: "修改前",
    after: "修改后",
  },
  approvals: {
    hint: "超过限额的召回、作废和销毁，须由另一人批准", what: "更改", by: "申请人", none: "没有待审批事项", move: "{n} 件改为“{to}”", approve: "批准", reject: "拒绝", note: "意见",
  },
  tenants: {
    never: "不需要",
    hint: "品牌方和经销商，各有范围与配额", make: "新建租户", kind: "类型", perDay: "每日码数", above: "双人审批阈值", unbounded: "不限", zero: "0 为不限", aboveHint: "超过此件数须双人审批；0 为不需要",
    origins: "允许的网页来源", originsHint: "每行一个，例如 https 网址", disabled: "停用此租户",
    kinds: {
      platform: "平台", brand: "品牌方", dealer: "经销商",
    },
  },
  events: {
    hint: "批次生成、状态变更和租户变更，实时显示", live: "实时", waiting: "正在连接…", none: "等待事件", noneHint: "新建批次或更改状态后，会立即显示在这里。", kind: "事件", raw: "原文", code_generated: "码已生成",
    code_state_changed: "状态已变更", tenant_updated: "租户已变更", alert_triggered: "警报", kinds: { batch: "批次", file: "文件", claim: "领取", export: "导出" },
  },
  alert: {
    illegal_step: "物品不能这样变更", later_step: "迟到的事件使后续变更无效", future_time: "事件时间在未来",
  },
  log: {
    hint: "批次和变更的可验证日志，任何人都无法暗中篡改", origin: "来源", size: "条目数", root: "根哈希", key: "公钥", note: "签名树头", verify: "在浏览器中验证", verifyHint: "不需要登录",
  },
  letters: {
    hint: "多次处理失败、暂存待处理的消息", group: "消费组", replay: "全部重试", replayed: "已处理 {n}", discard: "丢弃 {n} 条", discardHint: "丢弃后不能恢复，对应的扫码不会进入记录。", none: "没有死信",
    noneHint: "所有消息均已处理。", tries: "次数", bytes: "字节",
  },
  health: {
    hint: "每 5 秒更新", well: "一切正常", look: "需要注意", ready: "服务就绪", lag: "统计延迟", behind: "待处理记录", newest: "最近扫码", letters: "死信（记录）", lettersStats: "死信（统计）",
    metrics: "更多指标在 /metrics（Prometheus）。",
  },
  tasks: {
    hint: "正在导出的文件和导入的数据；服务重启后自动继续", kind: "任务", batch: "批次", by: "提交人", none: "没有任务", noneHint: "导出、大批量领取和上传的进度会显示在这里。",
    kinds: { generate: "生成并导出", export: "导出文件", trace_import: "导入数据" },
  },
  steps: { commissioning: "赋码", inspecting: "检验", sampling: "抽样", packing: "装箱", unpacking: "拆箱", repackaging: "换装", shipping: "发货", departing: "发车", arriving: "到达", receiving: "收货", storing: "入库", loading: "装车", unloading: "卸车", transporting: "运输", accepting: "验收", picking: "拣货", stocking: "上架", retail_selling: "零售", dispensing: "配发", holding: "暂扣", destroying: "销毁", decommissioning: "注销", returning: "退货", sensor_reporting: "传感器上报", encoding: "制码", void_shipping: "撤销发货" },
  facts: { batch_no: "批号", production_date: "生产日期", state: "状态", step: "步骤", reason: "原因", undoes: "撤销", in: "所在包装", source: "来源", raw_materials: "原料", quality_grade: "等级", inspector: "质检员", carrier: "承运方", tracking_no: "运单号", temperature: "温度", seller: "销售方" },
  stage: { production: "生产", processing: "加工", logistics: "物流", sales: "销售", quality: "质量" },
  trace: {
    hint: "EPCIS 事件、包装关系与商品流向", epc: "EPC 或 Digital Link；以 * 结尾可按开头查找", capture: "提交事件", filters: "更多条件", type: "类型", step: "业务步骤", disposition: "状态", place: "地点", event: "事件标识", from: "从", to: "到", order: "排序", eventTime: "发生时间", recordTime: "记录时间", goods: "商品", events: "事件",
    none: "没有符合条件的事件", noneHint: "在此提交文件，或由系统发送到 /epcis/capture。", contained: "包装关系", asOf: "截至 {at}", slider: "截至时间", since: "自 {at}", holds: "含 {n} 件",
    send: "提交", document: "EPCIS 文件", documentHint: "JSON 或 XML，最多 32 MB、10,000 个事件", proceed: "有错误时仍保存正确的事件", taken: "全部事件已接收", refused: "有事件被拒绝",
    results: { accepted: "已接收", duplicate: "已有", rejected: "被拒绝", not_stored: "未保存" }, reports: "CSV 报表", flow: "商品流向", complete: "追溯完整度",
    types: { ObjectEvent: "对象", AggregationEvent: "包装", TransactionEvent: "交易", TransformationEvent: "转换", AssociationEvent: "关联" },
  },
  complaints: {
    hint: "消费者认为有问题的商品", text: "说明", photo: "照片", none: "没有投诉", noneHint: "任何人都可在扫码页上反映问题。", one: "投诉", open: "待处理", closed: "已处理", close: "结案", outcome: "处理结果",
  },
  connect: {
    hint: "接收事件的地址，以及提供商品数据的外部系统", secret: "签名密钥", hooks: "Webhook", newHook: "新建 Webhook", url: "地址", types: "事件", typesHint: "例如 code.generated；不填为全部", noHooks: "没有 Webhook", noHooksHint: "您指定的系统会收到该品牌的每个事件，并附带签名。", hookHint: "https 地址；按 Standard Webhooks 签名",
    sources: "数据来源", newSource: "接入系统", noSources: "尚未接入系统", noSourcesHint: "接入 MES、WMS 或 ERP 后，其数据会显示在商品的流通记录中。", sourceHint: "https:// 或 grpcs://主机:端口", token: "令牌", tokenHint: "以 Bearer 发送，不再显示；留空则不变", enabled: "启用", test: "测试", answers: "响应正常，{ms} 毫秒", fails: "响应异常", dropHint: "将停止推送和查询；已有内容保留。",
    kinds: { MES: "MES（工厂）", WMS: "WMS（仓库）", ERP: "ERP（办公）" },
    ask: { hook: "新建 Webhook", source: "接入系统", edit: "编辑系统", test: "用一个码测试", drop: "移除系统", dropHook: "移除 Webhook" },
  },
  subscribe: {
    hint: "保存的 EPCIS 查询，以及结果的推送地址", newQuery: "保存查询", add: "订阅", none: "没有保存的查询", noneHint: "先保存查询，再为系统订阅其结果。", noSubscriptions: "还没有订阅。",
    dest: "推送地址", destHint: "接收 EPCIS 文件的 https 地址", when: "推送时间", delivered: "最近送达", until: "已查询至 {at}", never: "尚无", stream: "实时推送", hour: "每小时", day: "每天", own: "自定义计划", schedule: "按计划：{what}",
    scheduleHint: "UTC。数字、列表、区间（如 [8-17]）、步长（如 0/15）；留空为任意", token: "签名密钥", tokenHint: "文件用它签名（GS1-Signature，HMAC-SHA-256）。请立即复制，不再显示",
    since: "从此记录时间起", sinceHint: "留空为从现在起", empty: "没有结果时也推送", more: "更多参数", notObject: "须为一个 JSON 对象，例如 {example}", badJSON: "更多参数不是有效的 JSON", badJSONAt: "第 {line} 行第 {column} 个字符处有误，请修改后再保存。", lastReason: "其中之一的原因：{why}", moreHint: "EPCIS 的 JSON，例如 {example}", letters: "未送达",
    dropHint: "“{name}”及其 {n} 个订阅将终止，不再推送。", endHint: "将停止向 {dest} 推送。",
    fields: { second: "秒", minute: "分", hour: "时", dayOfMonth: "日", month: "月", dayOfWeek: "星期（1 为周一）" },
    ask: { query: "保存查询", subscribe: "订阅", drop: "移除查询", end: "结束订阅" },
  },
  settings: {
    page: "扫码页", logo: "品牌 Logo", logoChoose: "选择图片", logoOther: "更换图片", logoHint: "PNG、JPEG 或 WebP，最大 256 KB；立即显示在扫码页上", nameHint: "显示在扫码页上", hidePlaces: "扫码页和公开流通记录不显示地点", texts: "扫码页上的说明和咨询方式在“品牌与产品”中编辑。",
    privacy: "隐私与限额", days: "扫码 IP 的保存天数", daysHint: "0 到 365；0 表示不保存", misses: "每个 IP 每小时允许的错码次数", missesHint: "超过后须等待；0 表示默认值",
    timeline: "公开流通记录", timelineHint: "登录后有此品牌权限的人能看到全部。", hide: "隐藏", hideHint: "阶段（logistics）、字段（carrier、location）或两者（logistics.carrier），以空格分隔", show: "额外显示", showHint: "详情字段，以空格分隔", usualMask: "按默认规则对姓名脱敏（inspector）", mask: "姓名脱敏的字段", maskHint: "以空格分隔；留空为不脱敏",
    links: "允许的链接目标", linksHint: "立即生效，对已有链接同样适用。", hosts: "主机", hostsHint: "每行一个，例如 brand.example 或 *.brand.example", http: "也允许 http", glnHint: "13 位数字，可留空；用于核验应答",
  },
};
export default zh;
