package result

import (
	"io"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/tw"
)

// Table is rows under a header. Its first column is text, the others are numbers.
type Table struct {
	Header []string
	Rows   [][]string
}

// Print draws the table for a terminal.
func (t Table) Print(w io.Writer) error {
	align := tw.MakeAlign(len(t.Header), tw.AlignRight)
	align[0] = tw.AlignLeft
	drawn := tablewriter.NewTable(w,
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithAlignment(align),
		tablewriter.WithSymbols(tw.NewSymbols(tw.StyleASCII)),
	)
	drawn.Header(t.Header)
	for _, row := range t.Rows {
		if err := drawn.Append(row); err != nil {
			return err
		}
	}
	return drawn.Render()
}

// markdown is the same table in Markdown.
func (t Table) markdown() string { return grid(t.Header, t.Rows) }
