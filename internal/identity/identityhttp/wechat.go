package identityhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/chopmark/chopmark/internal/identity"
)

// WeChat is WeChat's OAuth: a code flow without OpenID. Open and API are where it is.
type WeChat struct {
	AppID, Secret         string // of the website; "" = none
	MiniAppID, MiniSecret string // of the mini-program; "" = none
	Open, API             string // "" = WeChat's own
}

const (
	weChatOpen = "https://open.weixin.qq.com"
	weChatAPI  = "https://api.weixin.qq.com"
	weChatSays = 64 << 10 // bytes of an answer that are read
)

// weChatFlow knows somebody by the unionid that WeChat gives to apps of one owner, or else by
// the openid of the app.
type weChatFlow struct {
	WeChat
	client *http.Client
}

func newWeChat(w WeChat) *weChatFlow {
	if w.Open == "" {
		w.Open = weChatOpen
	}
	if w.API == "" {
		w.API = weChatAPI
	}
	return &weChatFlow{w, &http.Client{
		Timeout: doorTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// begin shows a symbol to scan, or inside WeChat asks the app itself.
func (f *weChatFlow) begin(_ context.Context, r *http.Request, s *step, back string) (string, error) {
	path, scope := "/connect/qrconnect", "snsapi_login"
	if strings.Contains(r.UserAgent(), "MicroMessenger") {
		path, scope = "/connect/oauth2/authorize", "snsapi_base"
	}
	q := url.Values{"appid": {f.AppID}, "redirect_uri": {back}, "response_type": {"code"}, "scope": {scope}, "state": {s.State}}
	return f.Open + path + "?" + q.Encode() + "#wechat_redirect", nil
}

func (f *weChatFlow) vouched(ctx context.Context, code string, _ *step, _ string) (identity.Provided, error) {
	return f.ask(ctx, f.AppID, "/sns/oauth2/access_token", url.Values{
		"appid": {f.AppID}, "secret": {f.Secret}, "code": {code}, "grant_type": {"authorization_code"},
	})
}

// mini tells who has opened the mini-program, by the code of its wx.login.
func (f *weChatFlow) mini(ctx context.Context, code string) (identity.Provided, error) {
	return f.ask(ctx, f.MiniAppID, "/sns/jscode2session", url.Values{
		"appid": {f.MiniAppID}, "secret": {f.MiniSecret}, "js_code": {code}, "grant_type": {"authorization_code"},
	})
}

// ask asks WeChat who it is. The secret is in the address, so no error quotes it.
func (f *weChatFlow) ask(ctx context.Context, app, path string, q url.Values) (who identity.Provided, _ error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.API+path+"?"+q.Encode(), nil)
	if err != nil {
		return who, errProviderDown.Because(errors.New("the address of WeChat is none"))
	}
	resp, err := f.client.Do(r)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		return who, errProviderDown.Because(err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read, or nobody cares
	var said struct {
		OpenID  string `json:"openid"`
		UnionID string `json:"unionid"`
		Code    int    `json:"errcode"`
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, weChatSays)).Decode(&said)
	switch {
	case resp.StatusCode >= http.StatusInternalServerError || err != nil:
		return who, errProviderDown.Because(fmt.Errorf("WeChat answers %d: %w", resp.StatusCode, err))
	case said.Code != 0 || said.OpenID == "":
		return who, errProviderSaid.Because(fmt.Errorf("WeChat answers errcode %d", said.Code))
	case said.UnionID != "":
		return identity.Provided{Issuer: "wechat", Subject: said.UnionID}, nil
	}
	return identity.Provided{Issuer: "wechat " + app, Subject: said.OpenID}, nil
}
