package httpx

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPack(t *testing.T) {
	t.Parallel()
	var p Packer
	var packed bytes.Buffer
	page := []byte(strings.Repeat("<p>authentic</p>", 100))
	for accept, zipped := range map[string]bool{
		"": false, "br": false, "gzip": true, "deflate, gzip;q=1.0, *;q=0.5": true, "GZIP": true, "gzip;q=0": false, "gzip; q=0.000": false, "gzip;q=0.5": true,
	} {
		r, w := httptest.NewRequest(http.MethodGet, "/", http.NoBody), httptest.NewRecorder()
		if accept != "" {
			r.Header.Set("Accept-Encoding", accept)
		}
		got := p.Pack(w, r, page, &packed)
		if said := w.Header().Get("Content-Encoding") == "gzip"; said != zipped {
			t.Errorf("%q: said gzip is %v", accept, said)
		}
		if zipped {
			z, err := gzip.NewReader(bytes.NewReader(got))
			if err != nil {
				t.Fatal(err)
			}
			if got, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, page) {
			t.Errorf("%q: not the page", accept)
		}
	}
}
