package result

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Verify recomputes the figures of every run from its score tables below folder and reports every place where the
// recorded ones differ. say is told of each run.
func (c *Collection) Verify(folder string, say func(format string, args ...any)) error {
	var faults []error
	tables := map[string]Tables{}
	for _, name := range slices.Sorted(maps.Keys(c.Results)) {
		for _, run := range c.Results[name].Runs {
			t, err := ReadTables(folder, name, run.Seed)
			if err == nil {
				tables[name] = t
				err = run.verify(t)
			}
			if err != nil {
				faults = append(faults, fmt.Errorf("%s, seed %d: %w", name, run.Seed, err))
				continue
			}
			say("%s, seed %d: the figures are those of its tables (%d test samples)", name, run.Seed, run.Figures.N)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Baselines)) {
		if err := c.Baselines[name].verify(tables); err != nil {
			faults = append(faults, err)
			continue
		}
		say("%s: the accuracy is that of its answers (%d test samples)", name, c.Baselines[name].N)
	}
	if c.Peers != nil {
		for _, n := range c.Peers.Networks {
			if n.Policy == "" {
				continue
			}
			if err := n.verify(c.Results); err != nil {
				faults = append(faults, err)
				continue
			}
			say("peers, %s: the accuracies are those of its experiment", n.Name)
		}
	}
	return errors.Join(faults...)
}

// verify checks the accuracies of a network with exits against the result of its experiment, from which they were copied.
func (n PeerNetwork) verify(results map[string]*Result) error {
	for name, r := range results {
		for _, run := range r.Runs {
			if fmt.Sprintf("%s-%d", name, run.Seed) != n.Name {
				continue
			}
			c := run.Figures.CertifiedFor(n.Eps)
			if c == nil || c.Accuracy != n.PolicyAccuracy || run.Figures.FullAccuracy() != n.FullAccuracy {
				return fmt.Errorf("peers, %s: the accuracies %v and, certified for %v, %v are not those of the result %s", n.Name, n.FullAccuracy, n.Eps, n.PolicyAccuracy, name)
			}
			return nil
		}
	}
	return fmt.Errorf("peers, %s: there is no result of its experiment", n.Name)
}

func (r Run) verify(t Tables) error {
	if t.Test.Bundle != r.Bundle {
		return fmt.Errorf("the score tables are of bundle %.12s, the result is of %.12s", t.Test.Bundle, r.Bundle)
	}
	figures, err := Compute(t)
	if err != nil {
		return err
	}
	found, err := Diff(figures, r.Figures)
	if err != nil {
		return err
	}
	for _, place := range found {
		err = errors.Join(err, errors.New(place))
	}
	return err
}
