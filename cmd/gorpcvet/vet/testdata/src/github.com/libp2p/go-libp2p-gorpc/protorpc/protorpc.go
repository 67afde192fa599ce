// Package protorpc gives protobuf's messages a form.
package protorpc
