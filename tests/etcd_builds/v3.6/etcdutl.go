//go:build tools

package main

// Built beside the server, so go.mod must name it.
import _ "go.etcd.io/etcd/etcdutl/v3"
