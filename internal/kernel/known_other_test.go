//go:build !amd64

package kernel

func known() []*instructions { return nil }
