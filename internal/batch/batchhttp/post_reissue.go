package batchhttp

import (
	"net/http"

	"github.com/chopmark/chopmark/internal/platform/httpx"
)

type reissueAsk struct {
	Reason string `json:"reason"`
}

type reissued struct {
	Code    string `json:"code"`
	Version uint16 `json:"version"`
}

// postReissue answers POST /api/v1/codes/{code}/reissue.
func (a *api) postReissue(w http.ResponseWriter, r *http.Request) error {
	noStore(w)
	ask, cmd, err := decodeOptional[reissueAsk](w, r, httpx.BodyMax)
	if err != nil {
		return err
	}
	code := r.PathValue("code")
	version, replayed, err := a.Service.Reissue(r.Context(), cmd, code, ask.Reason)
	if err != nil {
		return err
	}
	return answer(w, replayed, reissued{code, version})
}
