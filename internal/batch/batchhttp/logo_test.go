package batchhttp_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// dot is a PNG of one pixel.
const dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

func TestLogo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	brand, product := w.brand("Acme")
	path := fmt.Sprintf("/api/v1/brands/%d/", brand)
	w.get(path + "settings").ok().has(`"logo":null`)
	logo := w.mutate("PUT "+path+"logo", object{"image": dot}).ok().text("logo")
	w.get(path + "settings").ok().has(`"logo":"` + logo + `"`)

	// what follows the picture is not kept, so it is the same picture and the same file
	raw, err := base64.StdEncoding.DecodeString(dot)
	if err != nil {
		t.Fatal(err)
	}
	tail := base64.StdEncoding.EncodeToString(append(bytes.Clone(raw), "<script>alert(1)</script>"...))
	if again := w.mutate("PUT "+path+"logo", object{"image": tail}).ok().text("logo"); again != logo {
		t.Errorf("another name for the same picture: %s, %s", again, logo)
	}
	r := w.get(logo, "Authorization: ")
	if h := r.header; r.status != http.StatusOK || r.body != string(raw) || h.Get("Content-Type") != "image/png" || h.Get("Cache-Control") != "public, max-age=2592000, immutable" ||
		h.Get("Content-Security-Policy") != "default-src 'none'; sandbox" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("the image: %d %v %q", r.status, h, r.body)
	}

	for image, refused := range map[string]struct {
		status int
		code   string
	}{
		base64.StdEncoding.EncodeToString([]byte("<svg onload=alert(1)>")): {415, "brand.logo_kind"},
		base64.StdEncoding.EncodeToString(raw[:len(raw)-4]):                {400, "brand.logo_damaged"},
		base64.StdEncoding.EncodeToString(make([]byte, 256<<10+1)):         {413, "brand.logo_too_large"},
		"no base64": {400, "input.bad_json"},
	} {
		if r := w.mutate("PUT "+path+"logo", object{"image": image}); r.status != refused.status || !strings.Contains(r.body, refused.code) {
			t.Errorf("%.20s: %d %s, want %v", image, r.status, r.body, refused)
		}
	}
	w.mutate("PUT /api/v1/brands/x/logo", object{}).fails(400, "input.bad_number")
	w.mutate("PUT "+path+"logo", object{}, "Authorization: ").fails(401, "auth.required")

	// an export is a file of the same place, and no image
	batch := w.batch(product, "B", 10, nil)
	export := w.post("/api/v1/batches/"+batch+"/export", object{"unclaimed": true}).ok()
	w.finish(export.text("task_id"))
	file := fileOf(t, export.text("download_url"))
	for _, name := range []string{file, "img_0.png", "img_00000000000000000000000000000000.png", "img_00000000000000000000000000000000.zip", "..%2f" + file} {
		w.get("/api/v1/images/"+name, "Authorization: ").fails(404, "image.unknown")
	}
	w.mutate("PUT "+path+"logo", object{"image": nil}).ok().has(`"logo":null`)
	w.get(path + "settings").ok().has(`"logo":null`)

	// its file stays for a while, unless it is named again
	var gone []string
	sweep := func(want ...string) {
		t.Helper()
		gone = nil
		n, err := w.svc.SweepLogos(t.Context(), func(_ context.Context, name string) error {
			gone = append(gone, name)
			return nil
		})
		if err != nil || n != len(want) || !slices.Equal(gone, want) {
			t.Errorf("removed %v, %v, want %v", gone, err, want)
		}
	}
	sweep()
	w.now.Add((25 * time.Hour).Microseconds())
	if again := w.mutate("PUT "+path+"logo", object{"image": dot}).ok().text("logo"); again != logo {
		t.Errorf("it has another name before it is removed: %s, %s", again, logo)
	}
	w.now.Add((25 * time.Hour).Microseconds())
	sweep()
	w.mutate("PUT "+path+"logo", object{"image": nil}).ok()
	sweep()
	w.now.Add((25 * time.Hour).Microseconds())
	sweep(strings.TrimPrefix(logo, "/api/v1/images/"))
	sweep()
}

// fileOf is the last name of a link's path.
func fileOf(t *testing.T, link string) string {
	t.Helper()
	bare, _, _ := strings.Cut(path(t, link), "?")
	return bare[strings.LastIndexByte(bare, '/')+1:]
}
