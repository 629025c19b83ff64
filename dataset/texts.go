package dataset

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// table reads file i of a known set as a table.
func (s *source) table(i int, options Options) (*Set, error) {
	data, err := s.open(i)
	if err != nil {
		return nil, err
	}
	set, err := parseTable(s.path(i), data, strings.HasSuffix(s.path(i), ".tsv.gz"), options)
	if err != nil {
		return nil, err
	}
	set.Name = s.known.Name
	return set, nil
}

// trainTest reads file 0 for training and file 1 for the test, with the same classes.
func (s *source) trainTest(options Options) (*parts, error) {
	train, err := s.table(0, options)
	if err != nil {
		return nil, err
	}
	options.Classes = train.Classes
	test, err := s.table(1, options)
	return &parts{pool: train, test: test}, err
}

func readBanking(s *source) (*parts, error) { return s.trainTest(Options{LabelColumn: "category"}) }

func readTREC(s *source) (*parts, error) { return s.trainTest(Options{LabelColumn: "coarse"}) }

// sentiments name the labels 0 and 1.
var sentiments = []string{"negative", "positive"}

func readIMDB(s *source) (*parts, error) {
	p, err := s.trainTest(Options{Classes: []string{"0", "1"}})
	if err != nil {
		return nil, err
	}
	p.pool.Classes, p.test.Classes = sentiments, sentiments
	return p, nil
}

// readAGNews reads rows of label 1-4 and one or two cells of text, without a header.
func readAGNews(s *source) (*parts, error) {
	var sets [2]*Set
	for i := range sets {
		data, err := s.open(i)
		if err != nil {
			return nil, err
		}
		set := &Set{Name: s.known.Name, Classes: []string{"World", "Sports", "Business", "Sci/Tech"}}
		err = eachCSV(s.path(i), data, func(line int, cells []string) error {
			label, err := classIndex(cells[0], []string{"1", "2", "3", "4"})
			if err != nil || len(cells) < 2 {
				return fmt.Errorf("dataset: %s: line %d: want a label 1-4 and text, have %q", s.path(i), line, clip(strings.Join(cells, ",")))
			}
			set.Labels, set.Texts = append(set.Labels, label), append(set.Texts, strings.Join(cells[1:], " "))
			return nil
		})
		if err != nil {
			return nil, err
		}
		sets[i] = set
	}
	return &parts{pool: sets[0], test: sets[1]}, nil
}

// readSMS reads lines of class, tab and message, each once.
func readSMS(s *source) (*parts, error) {
	data, err := s.open(0)
	if err != nil {
		return nil, err
	}
	set := &Set{Name: s.known.Name, Classes: []string{"ham", "spam"}}
	seen := map[string]bool{}
	err = eachLine(data, func(line int, text string) error {
		if seen[text] {
			return nil
		}
		seen[text] = true
		class, message, _ := strings.Cut(text, "\t")
		label, err := classIndex(class, set.Classes)
		if err != nil {
			return fmt.Errorf("dataset: %s: line %d: %w", s.path(0), line, err)
		}
		set.Labels, set.Texts = append(set.Labels, label), append(set.Texts, message)
		return nil
	})
	return &parts{pool: set}, err
}

// readCLINC reads {"train": [[text, intent], …], "val": …, "test": …} and pools train and val.
func readCLINC(s *source) (*parts, error) {
	data, err := s.open(0)
	if err != nil {
		return nil, err
	}
	var splits map[string][][]string
	if err := json.Unmarshal(data, &splits); err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", s.path(0), err)
	}
	intents := map[string]bool{}
	for _, row := range splits["train"] {
		if len(row) == 2 {
			intents[row[1]] = true
		}
	}
	classes := slices.Sorted(maps.Keys(intents))
	join := func(splitNames ...string) (*Set, error) {
		set := &Set{Name: s.known.Name, Classes: classes}
		for _, name := range splitNames {
			for i, row := range splits[name] {
				if len(row) != 2 || !intents[row[1]] {
					return nil, fmt.Errorf("dataset: %s: %s[%d] is %q, want a text and an intent of the training split", s.path(0), name, i, row)
				}
				label, _ := slices.BinarySearch(classes, row[1])
				set.Labels, set.Texts = append(set.Labels, label), append(set.Texts, row[0])
			}
		}
		return set, nil
	}
	pool, err := join("train", "val")
	if err != nil {
		return nil, err
	}
	test, err := join("test")
	return &parts{pool: pool, test: test}, err
}

// readSST reads phrases of the training sentences, and the development and test sentences. The file does not say which
// phrase comes from which sentence, but a phrase that no longer phrase contains is a whole sentence (6,885 of them, of
// 6,920 in the treebank). The calibration split is 1,500 of these sentences, alike in kind to those of the test, and every
// phrase whose words occur in a row in one of them is left out of the training split, so that no source straddles.
func readSST(s *source) (*parts, error) {
	options := Options{TextColumn: "sentence", Classes: []string{"0", "1"}}
	var sets [3]*Set
	for i := range sets {
		var err error
		if sets[i], err = s.table(i, options); err != nil {
			return nil, err
		}
		sets[i].Classes = sentiments
	}
	phrases := sets[0].Without(sets[1], sets[2])
	sentences, err := Split(phrases.Subset(wholes(phrases.Texts)), Sizes{Calibration: 1500}, s.seed)
	if err != nil {
		return nil, err
	}
	certified := map[string]bool{}
	for _, sentence := range sentences.Calibration.Texts {
		eachSpan(sentence, func(span string) { certified[span] = true })
	}
	var keep []int
	for i, phrase := range phrases.Texts {
		if !certified[joined(phrase)] {
			keep = append(keep, i)
		}
	}
	return &parts{pool: phrases.Subset(keep), validation: sets[1], calibration: sentences.Calibration, test: sets[2]}, nil
}

// wholes gives the indices, ascending, of the phrases that no longer phrase contains; of equal phrases the first.
func wholes(phrases []string) []int {
	order := indices(0, len(phrases))
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(joined(phrases[b])), len(joined(phrases[a]))) })
	contained := map[string]bool{}
	var whole []int
	for _, i := range order {
		if contained[joined(phrases[i])] {
			continue
		}
		whole = append(whole, i)
		eachSpan(phrases[i], func(span string) { contained[span] = true })
	}
	slices.Sort(whole)
	return whole
}

func joined(phrase string) string { return strings.Join(strings.Fields(phrase), " ") }

// eachSpan calls do with all runs of words of a phrase, itself among them.
func eachSpan(phrase string, do func(span string)) {
	text := joined(phrase)
	starts := []int{0}
	for i := range len(text) {
		if text[i] == ' ' {
			starts = append(starts, i+1)
		}
	}
	for i, start := range starts {
		for _, next := range starts[i+1:] {
			do(text[start : next-1])
		}
		do(text[start:])
	}
}
