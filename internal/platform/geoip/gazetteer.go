package geoip

import "strings"

// point is a place on Earth for the names that mean it, separated by "|", in lower
// case and without the endings that plain takes off.
type point struct {
	names    string
	lat, lon float64
}

// provinces are the 34 divisions of China at the seats of their governments: nearer
// to most addresses than the middle of the map.
var provinces = [...]point{
	{"北京|beijing|peking", 39.9, 116.4},
	{"天津|tianjin", 39.1, 117.2},
	{"河北|hebei", 38.0, 114.5},
	{"山西|shanxi", 37.9, 112.5},
	{"内蒙古|inner mongolia|nei mongol", 40.8, 111.7},
	{"辽宁|liaoning", 41.8, 123.4},
	{"吉林|jilin", 43.9, 125.3},
	{"黑龙江|heilongjiang", 45.8, 126.6},
	{"上海|shanghai", 31.2, 121.5},
	{"江苏|jiangsu", 32.1, 118.8},
	{"浙江|zhejiang", 30.3, 120.2},
	{"安徽|anhui", 31.8, 117.3},
	{"福建|fujian", 26.1, 119.3},
	{"江西|jiangxi", 28.7, 115.9},
	{"山东|shandong", 36.7, 117.0},
	{"河南|henan", 34.7, 113.6},
	{"湖北|hubei", 30.6, 114.3},
	{"湖南|hunan", 28.2, 112.9},
	{"广东|guangdong", 23.1, 113.3},
	{"广西|guangxi|guangxi zhuang|guangxi zhuangzu", 22.8, 108.4},
	{"海南|hainan", 20.0, 110.3},
	{"重庆|chongqing", 29.6, 106.6},
	{"四川|sichuan", 30.6, 104.1},
	{"贵州|guizhou", 26.6, 106.7},
	{"云南|yunnan", 25.0, 102.7},
	{"西藏|tibet|xizang", 29.7, 91.1},
	{"陕西|shaanxi", 34.3, 108.9},
	{"甘肃|gansu", 36.1, 103.8},
	{"青海|qinghai", 36.6, 101.8},
	{"宁夏|ningxia|ningxia hui|ningxia huizu", 38.5, 106.2},
	{"新疆|xinjiang|xinjiang uygur|xinjiang uyghur", 43.8, 87.6},
	{"香港|中国香港|hong kong|hongkong", 22.3, 114.2},
	{"澳门|中国澳门|macau|macao", 22.2, 113.5},
	{"台湾|中国台湾|taiwan|taiwan, province of china", 25.0, 121.5},
}

// countries are rough middles, to a degree, of those that send most visitors. China
// is not among them: an address known no nearer than the country may be 3,000 km from
// its middle, and would seem to have travelled from each of its provinces.
var countries = [...]point{
	{"美国|united states|united states of america|usa", 39, -98},
	{"加拿大|canada", 56, -106},
	{"墨西哥|mexico", 24, -103},
	{"巴西|brazil", -14, -52},
	{"阿根廷|argentina", -38, -64},
	{"智利|chile", -36, -72},
	{"哥伦比亚|colombia", 5, -74},
	{"秘鲁|peru", -9, -75},
	{"委内瑞拉|venezuela", 6, -67},
	{"厄瓜多尔|ecuador", -2, -78},
	{"英国|united kingdom|great britain", 54, -2},
	{"爱尔兰|ireland", 53, -8},
	{"法国|france", 46, 2},
	{"德国|germany", 51, 10},
	{"荷兰|netherlands|the netherlands", 52, 5},
	{"比利时|belgium", 51, 4},
	{"卢森堡|luxembourg", 50, 6},
	{"瑞士|switzerland", 47, 8},
	{"奥地利|austria", 48, 14},
	{"意大利|italy", 42, 13},
	{"西班牙|spain", 40, -4},
	{"葡萄牙|portugal", 39, -8},
	{"瑞典|sweden", 60, 16},
	{"挪威|norway", 61, 9},
	{"丹麦|denmark", 56, 10},
	{"芬兰|finland", 62, 26},
	{"波兰|poland", 52, 19},
	{"捷克|czechia|czech republic", 50, 15},
	{"匈牙利|hungary", 47, 19},
	{"罗马尼亚|romania", 46, 25},
	{"保加利亚|bulgaria", 43, 25},
	{"希腊|greece", 39, 22},
	{"乌克兰|ukraine", 49, 31},
	{"俄罗斯|russia|russian federation", 56, 45}, // where its people are, not its woods
	{"土耳其|turkey|türkiye|turkiye", 39, 35},
	{"以色列|israel", 31, 35},
	{"沙特阿拉伯|saudi arabia", 24, 45},
	{"阿联酋|阿拉伯联合酋长国|united arab emirates", 24, 54},
	{"伊朗|iran", 32, 54},
	{"伊拉克|iraq", 33, 44},
	{"埃及|egypt", 27, 31},
	{"南非|south africa", -30, 25},
	{"尼日利亚|nigeria", 9, 8},
	{"肯尼亚|kenya", 0, 38},
	{"摩洛哥|morocco", 32, -7},
	{"印度|india", 22, 79},
	{"巴基斯坦|pakistan", 30, 70},
	{"孟加拉国|孟加拉|bangladesh", 24, 90},
	{"斯里兰卡|sri lanka", 8, 81},
	{"尼泊尔|nepal", 28, 84},
	{"哈萨克斯坦|kazakhstan", 48, 67},
	{"乌兹别克斯坦|uzbekistan", 41, 64},
	{"蒙古|mongolia", 47, 104},
	{"日本|japan", 36, 138},
	{"韩国|south korea|korea|republic of korea|korea, republic of", 36, 128},
	{"朝鲜|north korea", 40, 127},
	{"越南|vietnam|viet nam", 16, 107},
	{"老挝|laos", 18, 103},
	{"柬埔寨|cambodia", 13, 105},
	{"泰国|thailand", 15, 101},
	{"缅甸|myanmar", 21, 96},
	{"马来西亚|malaysia", 4, 102},
	{"新加坡|singapore", 1.3, 103.8},
	{"印度尼西亚|印尼|indonesia", -3, 114},
	{"菲律宾|philippines|the philippines", 13, 122},
	{"澳大利亚|australia", -25, 134},
	{"新西兰|new zealand", -41, 174},
}

// gazetteer finds coordinates by name, for files that have none.
type gazetteer struct {
	provinces, countries map[string]point
}

func newGazetteer() gazetteer {
	return gazetteer{index(provinces[:]), index(countries[:])}
}

func index(points []point) map[string]point {
	byName := map[string]point{}
	for _, p := range points {
		for name := range strings.SplitSeq(p.names, "|") {
			byName[name] = p
		}
	}
	return byName
}

// locate gives a place the coordinates of its province in China, or of its country.
// 香港, 澳门 and 台湾 may stand in either field.
func (g gazetteer) locate(p *Place) {
	if p == nil {
		return
	}
	country := plain(p.Country)
	at, ok := g.provinces[country]
	if !ok && isChina(country) {
		at, ok = g.provinces[plain(p.Province)]
	}
	if !ok {
		at, ok = g.countries[country]
	}
	if ok {
		p.Lat, p.Lon, p.Located = at.lat, at.lon, true
	}
}

func isChina(country string) bool {
	switch country {
	case "中国", "中华人民共和国", "china", "people's republic of china":
		return true
	}
	return false
}

// plain takes off what stands behind the name of a division: 广西壮族自治区 is 广西,
// "Guangdong Sheng" is guangdong.
func plain(name string) string {
	name = strings.ToLower(name)
	for _, ending := range [...]string{
		"壮族自治区", "回族自治区", "维吾尔自治区", "特别行政区", "自治区", "省", "市",
		" province", " municipality", " city", " autonomous region", " special administrative region",
		" sar china", " sar", " sheng", " shi", " zizhiqu",
	} {
		if rest, ok := strings.CutSuffix(name, ending); ok && rest != "" {
			return rest
		}
	}
	return name
}
