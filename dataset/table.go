package dataset

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// table collects the rows of a file with named columns.
type table struct {
	path        string
	row         string // what a row is called in errors: "line" or "row"
	header      []string
	text, label int   // columns; -1 = none
	features    []int // columns; nil until the first row shows which are numeric
	labels      []string
	fixed       []string // classes that were given
	set         *Set
}

// newTable finds the columns that options name. Only the default names may be missing.
func newTable(path, row string, header []string, options Options) (*table, error) {
	if len(header) > 0 {
		header[0] = strings.TrimPrefix(header[0], "\ufeff") // a byte order mark, which spreadsheets write
	}
	seen := map[string]bool{}
	for i, name := range header {
		if _, err := strconv.ParseFloat(name, 64); err == nil || name == "" || seen[name] {
			return nil, fmt.Errorf("dataset: %s: column %d is named %q: the first line must name all columns, each differently", path, i+1, clip(name))
		}
		seen[name] = true
	}
	t := &table{path: path, row: row, header: header, fixed: options.Classes, set: &Set{Name: path, Classes: options.Classes}}
	var errText, errLabel error
	t.text, errText = t.column(options.TextColumn, "text")
	t.label, errLabel = t.column(options.LabelColumn, "label")
	if errLabel != nil && options.OptionalLabel {
		t.label, errLabel = -1, nil
	}
	if err := errors.Join(errText, errLabel); err != nil {
		return nil, err
	}
	if t.text >= 0 && t.text == t.label {
		return nil, fmt.Errorf("dataset: %s: column %q cannot be both text and label", path, header[t.text])
	}
	return t, nil
}

// column is the place of a column; -1 if it was not asked for and there is none of the default name.
func (t *table) column(asked, preset string) (int, error) {
	if asked == "" {
		return slices.Index(t.header, preset), nil
	}
	i := slices.Index(t.header, asked)
	if i < 0 {
		return 0, fmt.Errorf("dataset: %s: no column %q among %s", t.path, asked, clip(strings.Join(t.header, ", ")))
	}
	return i, nil
}

// add takes a row; number is its place in the file, from 1.
func (t *table) add(number int, cells []string) error {
	if len(cells) != len(t.header) {
		return fmt.Errorf("dataset: %s: %s %d: %d columns, want %d", t.path, t.row, number, len(cells), len(t.header))
	}
	if t.text >= 0 {
		if strings.TrimSpace(cells[t.text]) == "" {
			return t.fault(number, t.text, errors.New("no text"))
		}
		t.set.Texts = append(t.set.Texts, cells[t.text])
	} else if err := t.addFeatures(number, cells); err != nil {
		return err
	}
	label := ""
	if t.label >= 0 {
		if label = strings.TrimSpace(cells[t.label]); label == "" {
			return t.fault(number, t.label, errors.New("no label"))
		}
		if t.fixed != nil {
			if _, err := classIndex(label, t.fixed); err != nil {
				return t.fault(number, t.label, err)
			}
		}
	}
	t.labels = append(t.labels, label)
	return nil
}

func (t *table) addFeatures(number int, cells []string) error {
	if t.features == nil {
		for c, cell := range cells {
			// What is numeric in the first row has to be in all others: a damaged cell must not drop its column.
			if _, err := strconv.ParseFloat(strings.TrimSpace(cell), 64); err == nil && c != t.label {
				t.features = append(t.features, c)
			}
		}
		if t.features == nil {
			return fmt.Errorf("dataset: %s: %s %d: no numeric column among %s: name the column that holds text",
				t.path, t.row, number, clip(strings.Join(t.header, ", ")))
		}
		t.set.Dims = []int{len(t.features)}
	}
	if len(t.set.Values) > maxValues-len(t.features) {
		return fmt.Errorf("dataset: %s: %s %d: more than %d values", t.path, t.row, number, maxValues)
	}
	for _, c := range t.features {
		v, err := parseNumber(cells[c])
		if err != nil {
			return t.fault(number, c, err)
		}
		t.set.Values = append(t.set.Values, v)
	}
	return nil
}

func (t *table) fault(number, column int, err error) error {
	return fmt.Errorf("dataset: %s: %s %d, column %q: %w", t.path, t.row, number, clip(t.header[column]), err)
}

// finish turns label names into indices. Classes are in sorted order, by value if all are integers.
func (t *table) finish() *Set {
	if t.label < 0 {
		for range t.labels {
			t.set.Labels = append(t.set.Labels, Unknown)
		}
		return t.set
	}
	if t.fixed == nil {
		names := map[string]bool{}
		for _, label := range t.labels {
			names[label] = true
		}
		t.set.Classes = slices.Collect(maps.Keys(names))
		sortClasses(t.set.Classes)
	}
	index := map[string]int{}
	for i, name := range t.set.Classes {
		index[name] = i
	}
	for _, label := range t.labels {
		t.set.Labels = append(t.set.Labels, index[label])
	}
	return t.set
}

// parseTable reads CSV, or TSV where tab is true, whose first line names the columns.
func parseTable(path string, data []byte, tab bool, options Options) (*Set, error) {
	var t *table
	row := func(line int, cells []string) (err error) {
		if t == nil {
			t, err = newTable(path, "line", cells, options)
			return err
		}
		return t.add(line, cells)
	}
	each := eachCSV
	if tab {
		each = eachTSV
	}
	if err := each(path, data, row); err != nil {
		return nil, err
	}
	if t == nil || len(t.labels) == 0 {
		return nil, fmt.Errorf("dataset: %s: no rows", path)
	}
	return t.finish(), nil
}

// eachTSV divides lines at tabs. There is no quoting, so a cell holds neither tab nor line end.
func eachTSV(_ string, data []byte, row func(line int, cells []string) error) error {
	return eachLine(data, func(line int, text string) error { return row(line, strings.Split(text, "\t")) })
}

// eachCSV reads RFC 4180.
func eachCSV(path string, data []byte, row func(line int, cells []string) error) error {
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord = -1 // the table counts, and says how many it wants
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("dataset: %s: %w", path, err) // it names line and column
		}
		line, _ := r.FieldPos(0)
		if err := row(line, cells); err != nil {
			return err
		}
	}
}
