// Package chopmark carries what of the documentation is also served.
package chopmark

import _ "embed"

// OpenAPI is docs/openapi.yaml.
//
//go:embed docs/openapi.yaml
var OpenAPI []byte
