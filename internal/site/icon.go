package site

// The icons are drawn on 24×24 in lines of the text's colour. The frame is a second
// sign beside the colour: a circle, or an octagon (a stop sign) for what is bad.
const (
	circle  = `<circle cx="12" cy="12" r="10.6"/>`
	octagon = `<path d="M7.7 1.6h8.6l6.1 6.1v8.6l-6.1 6.1H7.7l-6.1-6.1V7.7z"/>`

	check       = `m7 12.4 3.5 3.5 6.6-7.4`
	doubleCheck = `m4.8 12.6 3.2 3.2 5.8-6.6m-2.3 5.1 1.5 1.5 5.8-6.6`
	bag         = `M7.4 9.6h9.2l.7 7.6H6.7zm2.3 2V8.9a2.3 2.3 0 0 1 4.6 0v2.7`
	lock        = `M7.8 11.2h8.4v5.6H7.8zm1.7 0V9.4a2.5 2.5 0 0 1 5 0v1.8`
	exclamation = `M12 6.6v6.6m0 3.4v.1`
	question    = `M9.2 9.4a2.8 2.8 0 1 1 4.3 2.4c-1 .6-1.5 1.2-1.5 2.2m0 2.9v.1`
	cross       = `m8.4 8.4 7.2 7.2m0-7.2-7.2 7.2`
	hands       = `M12 6.4V12l3.6 2.2`
	again       = `M16.6 10.2A5 5 0 1 0 17 13m.2-5.6v3.2H14`
	dots        = `M7.6 12h.1m4.3 0h.1m4.3 0h.1`
	ticket      = `M7.4 10.2a1.8 1.8 0 0 0 0 3.6V16h9.2v-2.2a1.8 1.8 0 0 1 0-3.6V8H7.4z`
)

// icon is the sign of a verdict.
func icon(verdict, tone string) string {
	sign := map[string]string{
		"authentic": check, "authentic_again": doubleCheck, many: exclamation, "sold": bag,
		"inactive": lock, "suspicious": exclamation, "consumed": ticket, "recalled": exclamation,
		"void": cross, "expired": hands, "superseded": again, unknown: question, "unconfirmed": dots,
	}
	return svg(sign[verdict], tone)
}

// noticeIcon is the sign of a notice.
func noticeIcon(status int, tone string) string {
	switch status {
	case 400, 404:
		return svg(question, tone)
	case 429:
		return svg(hands, tone)
	}
	return svg(dots, tone)
}

func svg(sign, tone string) string {
	frame := circle
	if tone == "bad" {
		frame = octagon
	}
	return `<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">` +
		frame + `<path d="` + sign + `"/></svg>`
}
