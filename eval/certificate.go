package eval

import (
	"fmt"

	"github.com/layarun/layarun/exit"
)

// CertificateText is what a certificate promises, for people: "certified with 95 % confidence: …".
func CertificateText(c exit.Certificate) string {
	if c.Step == 0 {
		return "certified for nothing: samples never leave early."
	}
	risk := "the drop in accuracy against the full network"
	if c.Risk == exit.Consistency {
		risk = "the share of answers that differ from the full network's"
	}
	return fmt.Sprintf("certified with %g %% confidence: %s is below %g points (upper bound %.3g points from %d calibration samples).",
		100*(1-c.Delta), risk, 100*c.Eps, 100*c.Bound, c.N)
}
