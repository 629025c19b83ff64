package eval

import (
	"fmt"

	"github.com/layarun/layarun/exit"
)

// CertificateText is what a certificate promises, in one sentence for people.
func CertificateText(c exit.Certificate) string {
	risk := "the drop in accuracy against the full network"
	if c.Risk == exit.Consistency {
		risk = "the share of answers that differ from the full network's"
	}
	if c.Step == 0 {
		return fmt.Sprintf("Certified: nothing; samples never leave early, so %s is 0.", risk)
	}
	return fmt.Sprintf("Certified: with %g %% confidence, %s is below %g points (upper bound %.3g points from %d calibration samples).",
		100*(1-c.Delta), risk, 100*c.Eps, 100*c.Bound, c.N)
}
