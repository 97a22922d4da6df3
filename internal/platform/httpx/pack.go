package httpx

import (
	"bytes"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// Packer compresses small pages as they are answered: over a weak link their size is most
// of the wait. The zero value is ready.
type Packer struct{ writers sync.Pool }

// Pack gives the page as the client takes it, and says so in the header. What it gives is
// in packed, or is the page itself.
func (p *Packer) Pack(w http.ResponseWriter, r *http.Request, page []byte, packed *bytes.Buffer) []byte {
	accepted := r.Header["Accept-Encoding"]
	if len(accepted) == 0 || !takesGzip(accepted[0]) {
		return page
	}
	z, _ := p.writers.Get().(*gzip.Writer)
	if z == nil {
		z = gzip.NewWriter(nil)
	}
	defer p.writers.Put(z)
	packed.Reset()
	z.Reset(packed)
	if _, err := z.Write(page); err != nil {
		return page // cannot be: packed is memory
	}
	if err := z.Close(); err != nil {
		return page
	}
	w.Header()["Content-Encoding"] = gzipEncoding
	return packed.Bytes()
}

// HTML is the function HTML with the page packed.
func (p *Packer) HTML(w http.ResponseWriter, r *http.Request, status int, csp string, page []byte) error {
	var packed bytes.Buffer
	return HTML(w, status, csp, p.Pack(w, r, page, &packed))
}

var gzipEncoding = []string{"gzip"}

// takesGzip reads Accept-Encoding; a coding with the weight 0 is refused.
func takesGzip(accept string) bool {
	for one := range strings.SplitSeq(accept, ",") {
		name, params, _ := strings.Cut(one, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			weight := strings.ReplaceAll(params, " ", "")
			return strings.Trim(strings.TrimPrefix(weight, "q=0"), ".0") != "" || !strings.HasPrefix(weight, "q=0")
		}
	}
	return false
}
