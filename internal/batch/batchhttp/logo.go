package batchhttp

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/picture"
	"github.com/chopmark/chopmark/internal/platform/blob"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

const (
	logoBytesMax = 256 << 10
	logoBodyMax  = logoBytesMax*4/3 + 1<<10 // Base64, and the JSON around it
	imagesPath   = "/api/v1/images/"
	imageFor     = "public, max-age=2592000, immutable" // 30 days: another picture has another name
)

var (
	errLogoLarge   = fault.New(fault.TooLarge, "brand.logo_too_large", "the logo has more than %d bytes", logoBytesMax)
	errLogoKind    = fault.New(fault.Unsupported, "brand.logo_kind", "the logo must be JPEG, PNG or WebP")
	errLogoDamaged = fault.Field("brand.logo_damaged", "image", "cannot be read, or has too many pixels")
	errNoImage     = fault.New(fault.NotFound, "image.unknown", "no such image")
)

type logoAsk struct {
	Image []byte `json:"image"` // none = the brand has no logo
}

// putLogo answers PUT /api/v1/brands/{brand_id}/logo. The file is there before anything
// names it; one that nothing names any more stays for a day, for pages that were handed out.
func (a *api) putLogo(w http.ResponseWriter, r *http.Request) error {
	id, err := number("brand_id", r.PathValue("brand_id"))
	if err != nil {
		return err
	}
	ask, cmd, err := decode[logoAsk](w, r, logoBodyMax)
	if err != nil {
		return err
	}
	if _, err := a.Service.Brand(r.Context(), ids.BrandID(id)); err != nil {
		return err
	}
	logo := ""
	if len(ask.Image) > 0 {
		if logo, err = a.keepImage(r.Context(), ids.BrandID(id), ask.Image); err != nil {
			return err
		}
	}
	httpx.Annotate(r.Context(), httpx.Note{After: logoView{logoURL(logo)}})
	version, replayed, err := a.Service.ChangeSettings(r.Context(), cmd, batch.SettingsChange{BrandID: ids.BrandID(id), Logo: &logo})
	if err != nil {
		return err
	}
	return answer(w, replayed, struct {
		settingsMade
		logoView
	}{settingsMade{ids.BrandID(id), version}, logoView{logoURL(logo)}})
}

type logoView struct {
	Logo *string `json:"logo"`
}

// logoURL is where a logo is; nil = there is none.
func logoURL(name string) *string {
	if name == "" {
		return nil
	}
	at := imagesPath + name
	return &at
}

// keepImage puts a picture among the files under the name that it will always have.
func (a *api) keepImage(ctx context.Context, brand ids.BrandID, raw []byte) (name string, err error) {
	if len(raw) > logoBytesMax {
		return "", errLogoLarge
	}
	clean, kind, err := picture.Clean(raw)
	switch {
	case errors.Is(err, picture.ErrKind):
		return "", errLogoKind
	case err != nil:
		return "", errLogoDamaged
	}
	if name, err = a.Service.KeepLogo(ctx, brand, sha256.Sum256(clean), string(kind)); err != nil {
		return "", err
	}
	if f, err := a.Files.Open(ctx, name); err == nil {
		return name, f.Close() // it is there already
	}
	up, err := a.Files.Resume(ctx, name, 0)
	if err != nil {
		return "", err
	}
	if _, err := up.Write(clean); err != nil {
		return "", errors.Join(err, up.Close(), a.Files.Remove(context.WithoutCancel(ctx), name))
	}
	return name, up.Commit(ctx)
}

// getImage answers GET /api/v1/images/{name}: of all files only pictures that were kept as such.
func (a *api) getImage(isImage *regexp.Regexp) httpx.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		name := r.PathValue("name")
		if !isImage.MatchString(name) {
			return errNoImage
		}
		f, err := a.Files.Open(r.Context(), name)
		if errors.Is(err, blob.ErrUnknown) {
			return errNoImage
		}
		if err != nil {
			return err
		}
		raw, err := io.ReadAll(io.LimitReader(f, logoBytesMax+1))
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		h := w.Header()
		h.Set("Cache-Control", imageFor)
		h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
		h.Set("X-Content-Type-Options", "nosniff")
		_, ending, _ := strings.Cut(name, ".")
		return httpx.Bytes(w, http.StatusOK, picture.Kind(ending).ContentType(), raw)
	}
}
