package compile

import "context"

// InstallTestWheel installs a wheel with a digest of its own: the pinned one is 62 MB.
func InstallTestWheel(ctx context.Context, sha256, member string, memberSize int64) (string, error) {
	dir, err := PluginDir()
	if err != nil {
		return "", err
	}
	w := wheel{requirement: "plugin==1.0", sha256: sha256, size: 1, member: member, memberSize: memberSize}
	return installWheel(ctx, w, dir, func(done, total int64) {})
}
