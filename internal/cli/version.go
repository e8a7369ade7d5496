package cli

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

type versionView struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source, where it was built from a repository
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (a *app) versionCommand() *cobra.Command {
	return a.command("version", "Show which version this is", cobra.NoArgs, func(context.Context, []string) error {
		v := programVersion()
		text := "kula " + v.Version
		if v.Revision != "" {
			text += " (" + v.Revision + ")"
		}
		a.print(v, text+", "+v.Go+", "+v.Platform)
		return nil
	})
}

func programVersion() *versionView {
	v := &versionView{Version: "development", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Revision = s.Value
		}
	}
	return v
}
