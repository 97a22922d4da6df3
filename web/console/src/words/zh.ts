const zh = {
  skip: "跳到内容", menu: "菜单", again: "重试", more: "继续加载", requestId: "请求编号", signOut: "退出", otherLanguage: "English", dark: "深色",
  save: "保存", cancel: "取消", close: "关闭", search: "查找", copy: "复制", copied: "已复制", reason: "原因", reasonHint: "会写入历史，之后不能修改", none: "无", all: "全部", loading: "加载中…", refresh: "刷新",
  nav: {
    goods: "商品", people: "人员", system: "系统", overview: "总览", products: "品牌与产品", batches: "批次", codes: "查码", events: "事件", log: "透明日志",
    users: "用户与角色", keys: "API 密钥", approvals: "审批", audit: "审计日志", deadletters: "死信", health: "运行状况", me: "我的账户", settings: "品牌设置",
  },
  status: {
    offline: "连接不到服务器", offlineHint: "请检查网络后重试；未得到答复的修改会以同一编号重发，不会重复生效。",
    401: "登录已失效，请重新登录。", 403: "您的角色没有这项权限，请联系管理员。", 404: "它不存在，或不在您的品牌范围内。", 409: "当前状态不允许这样做，请刷新后再看。", 413: "内容太大，请分批提交。",
    422: "同一编号已用于另一项内容，请重新提交。", 429: "请求太频繁，请稍候再试。", 500: "服务器内部错误；请把请求编号交给管理员。", 503: "服务暂时不可用，稍后会恢复。",
  },
  errors: {
    batch_exists: "同一产品下批号不能重复，请换一个批号。", batch_exhausted: "该批次已无未领取的码，请新建批次。", approval_required: "数量超过限额，已提交审批，等待另一人批准。",
    signin_refused: "账号、口令或验证码不对。多次失败后需等待。", signin_needs_https: "请通过 HTTPS 打开本页。",
  },
  signin: {
    title: "登录", login: "账号", password: "口令", code: "动态验证码", recovery: "恢复码", useRecovery: "改用恢复码", submit: "登录", passkey: "使用通行密钥", first: "建立第一个管理员", firstHint: "此链接只能使用一次。",
    accept: "设置口令", acceptHint: "至少 12 个字符；可用一句话。", name: "姓名", email: "邮箱", done: "口令已设置，请登录。",
    ended: { replaced: "您在另一台设备登录，本设备已退出。", forced: "管理员结束了此会话。", password: "口令已更改，请重新登录。", role: "您的角色已更改，请重新登录。", disabled: "账号已停用。", expired: "登录已过期，请重新登录。" },
  },
};
export default zh;
