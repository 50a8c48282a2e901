//go:build tools

// Package judges holds other makers' programs to the versions in go.mod.
package judges

import _ "github.com/summerwind/h2spec/cmd/h2spec"
