package bundle

import (
	"fmt"

	"github.com/layarun/layarun/internal/safetensors"
)

// The precisions in which weights may lie on disk besides float32. Whoever runs a bundle computes in float32 all the same.
const (
	Float16  = "float16"
	BFloat16 = "bfloat16"
)

var precisions = map[string]safetensors.Precision{"": safetensors.Float32, Float16: safetensors.Float16, BFloat16: safetensors.BFloat16}

// precision is that of the weights file.
func (b *Bundle) precision() (safetensors.Precision, error) {
	p, ok := precisions[b.Precision]
	if !ok {
		return "", fmt.Errorf("precision is %q, want %s or %s, or none for float32", b.Precision, Float16, BFloat16)
	}
	return p, nil
}

// Round returns a copy of b with its weights rounded to a precision, [Float16] or [BFloat16], in which Save writes them:
// half the size on disk. It is another network, so profile and certificates do not come along, and what it answers is
// to be measured again. Weights too large for the precision are an error.
func (b *Bundle) Round(precision string) (*Bundle, error) {
	rounded := b.WithoutCertificates()
	rounded.Precision, rounded.Profile = precision, nil
	p, err := rounded.precision()
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	if rounded.Weights, err = safetensors.Round(b.Weights, p); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return rounded, nil
}
