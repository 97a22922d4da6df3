package site

// The words of stories. A step or a state that is not among them is shown as the standard
// spells it.

func chineseDoings() map[string]string {
	return map[string]string{
		"encoded": "已制码", "inactive": "未启用", "active": "已启用", "in_progress": "处理中", "in_transit": "运输中",
		"sellable_accessible": "在售", "sellable_not_accessible": "待售", "returned": "已退回", "retail_sold": "已售出", "dispensed": "已配发",
		"recalled": "已召回", "expired": "已过期", "void": "已作废", "destroyed": "已销毁", "stolen": "失窃", "damaged": "损坏",
		"commissioning": "出厂赋码", "inspecting": "检验", "sampling": "抽样", "packing": "装箱", "unpacking": "拆箱", "repackaging": "换装",
		"shipping": "发货", "departing": "发车", "arriving": "到达", "receiving": "收货", "storing": "入库", "loading": "装车", "unloading": "卸车",
		"transporting": "运输", "accepting": "验收", "picking": "拣货", "stocking": "上架", "retail_selling": "售出", "dispensing": "配发",
		"holding": "暂扣", "destroying": "销毁", "decommissioning": "注销", "sensor_reporting": "温度记录",
	}
}

func englishDoings() map[string]string {
	return map[string]string{
		"encoded": "coded", "inactive": "not released", "active": "released", "in_progress": "in progress", "in_transit": "in transit",
		"sellable_accessible": "on sale", "sellable_not_accessible": "in stock", "returned": "returned", "retail_sold": "sold", "dispensed": "dispensed",
		"recalled": "recalled", "expired": "expired", "void": "void", "destroyed": "destroyed", "stolen": "stolen", "damaged": "damaged",
		"commissioning": "made and coded", "inspecting": "inspected", "sampling": "sampled", "packing": "packed", "unpacking": "unpacked", "repackaging": "repacked",
		"shipping": "shipped", "departing": "departed", "arriving": "arrived", "receiving": "received", "storing": "stored", "loading": "loaded",
		"unloading": "unloaded", "transporting": "on the way", "accepting": "accepted", "picking": "picked", "stocking": "on the shelf",
		"retail_selling": "sold", "dispensing": "dispensed", "holding": "held back", "destroying": "destroyed", "decommissioning": "ended",
		"sensor_reporting": "measured",
	}
}

func chineseFacts() map[string]string {
	return map[string]string{
		"raw_materials": "原料", "quality_grade": "等级", "inspector": "质检员", "carrier": "承运", "tracking_no": "单号",
		"temperature": "温度", "seller": "销售方", "reason": "说明",
	}
}

func englishFacts() map[string]string {
	return map[string]string{
		"raw_materials": "Made of", "quality_grade": "Grade", "inspector": "Inspected by", "carrier": "Carrier", "tracking_no": "Tracking no.",
		"temperature": "Temperature", "seller": "Sold by", "reason": "Reason",
	}
}
