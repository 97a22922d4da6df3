package batchhttp

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/chopmark/chopmark/internal/mark"
)

// pngUsual is a PNG's side in pixels when none is asked for.
const pngUsual = 512

// getQRSVG answers GET /api/v1/codes/{code}/qr.svg.
func (a *api) getQRSVG(w http.ResponseWriter, r *http.Request) error {
	symbol, err := a.symbol(w, r)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := symbol.SVG(&out, mark.SVGOptions{Title: r.PathValue("code")}); err != nil {
		return err
	}
	return writeImage(w, "image/svg+xml", &out)
}

// getQRPNG answers GET /api/v1/codes/{code}/qr.png.
func (a *api) getQRPNG(w http.ResponseWriter, r *http.Request) error {
	symbol, err := a.symbol(w, r)
	if err != nil {
		return err
	}
	size := int32(pngUsual)
	if text := r.URL.Query().Get("size"); text != "" {
		if size, err = number("size", text); err != nil {
			return err
		}
	}
	var out bytes.Buffer
	if err := symbol.PNG(&out, int(size)); err != nil {
		return err
	}
	return writeImage(w, "image/png", &out)
}

// symbol is the mark of the request's code. A display mark shows the present token
// link, which is for operators: without a key of the brand its code is not known here.
func (a *api) symbol(w http.ResponseWriter, r *http.Request) (*mark.Symbol, error) {
	noStore(w)
	may, err := a.mayRead(r)
	if err != nil {
		return nil, err
	}
	text, err := a.codes.MarkText(may, r.PathValue("code"))
	if err != nil {
		return nil, err
	}
	return a.marks.Encode(text)
}

func writeImage(w http.ResponseWriter, contentType string, image *bytes.Buffer) error {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(image.Len()))
	_, _ = w.Write(image.Bytes()) // a client that has left needs no answer
	return nil
}
