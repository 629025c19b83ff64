package exit_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/layarun/layarun/exit"
)

func TestCalibrate(t *testing.T) {
	validation, calibration, test := synthetic(11, 3000, 4, 0.5), synthetic(12, 3000, 4, 0.5), synthetic(13, 20000, 4, 0.5)
	for _, risk := range []string{exit.AccuracyDrop, exit.Consistency} {
		o := exit.DefaultOptions()
		o.Risk, o.Eps = risk, 0.02
		p, report, err := exit.Calibrate(validation, calibration, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Validate(test.Exits); err != nil {
			t.Fatal(err)
		}
		s := test.Summarize(test.Apply(p))
		t.Logf("%s; on test: drop %.4f, changed %.4f, MACs %.0f of 400", report.Message, s.Drop(), float64(s.Changed)/float64(s.N), s.MeanMACs)
		if s.MeanMACs > 0.95*400 {
			t.Errorf("%s: %g of 400 MACs on test, want a saving", risk, s.MeanMACs)
		}
		if r := riskOf(test, p, risk); r > o.Eps {
			t.Errorf("%s: risk on test is %g, want at most %g", risk, r, o.Eps)
		}
		again, _, err := exit.Calibrate(validation, calibration, o)
		if err != nil || !reflect.DeepEqual(p, again) {
			t.Errorf("%s: the same tables gave another policy: %+v, then %+v (%v)", risk, p, again, err)
		}
	}
}

func TestCalibrateRefuses(t *testing.T) {
	table := synthetic(11, 50, 2, 0.5)
	if _, _, err := exit.Calibrate(table, table, exit.DefaultOptions()); err == nil || !strings.Contains(err.Error(), "same split") {
		t.Errorf("one split twice: error is %v", err)
	}
	other := synthetic(12, 50, 2, 0.5)
	other.Bundle = "other"
	if _, _, err := exit.Calibrate(table, other, exit.DefaultOptions()); err == nil || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("two bundles: error is %v", err)
	}
	deeper := synthetic(12, 50, 3, 0.5)
	if _, _, err := exit.Calibrate(table, deeper, exit.DefaultOptions()); err == nil || !strings.Contains(err.Error(), "[0 2 4]") {
		t.Errorf("tables of different exits: error is %v", err)
	}
	path, err := exit.NewPath(deeper, exit.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := exit.Certify(path, table, exit.DefaultOptions()); err == nil || !strings.Contains(err.Error(), "step 0") {
		t.Errorf("a path of other exits: error is %v", err)
	}
	path.Steps[0].Thresholds[0] = 0.5
	if _, _, err := exit.Certify(path, deeper, exit.DefaultOptions()); err == nil || !strings.Contains(err.Error(), "want \"never\"") {
		t.Errorf("a path that does not start at never: error is %v", err)
	}
}
