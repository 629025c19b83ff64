package eval

import (
	"fmt"
	"image/color"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Colours that stay apart for the colour-blind (Okabe and Ito) and in grey.
var (
	blue   = color.RGBA{R: 0x00, G: 0x72, B: 0xb2, A: 0xff}
	orange = color.RGBA{R: 0xd5, G: 0x5e, B: 0x00, A: 0xff}
	grey   = color.RGBA{R: 0x80, G: 0x80, B: 0x80, A: 0xff}
)

// Plot writes the figure of the report as SVG: accuracy against MACs for the first network's forced depths, policies and
// full depth, the curve of its gate, and for the other networks.
func (r *Report) Plot(w io.Writer) error { return r.plot(w, 0) }

// PlotLatency writes the same figure with the median time per sample at a batch size as the cost, which must have been
// measured, and without the curve.
func (r *Report) PlotLatency(w io.Writer, batch int) error { return r.plot(w, batch) }

// plot takes batch 0 for MACs.
func (r *Report) plot(w io.Writer, batch int) error {
	groups, err := r.groups(batch)
	if err != nil {
		return err
	}
	p := newPlot(fmt.Sprintf("median ms per sample, batch %d", batch))
	if batch == 0 {
		p.X.Label.Text = "mean MACs per sample, % of the first network at full depth"
		if len(r.Curve) > 1 {
			curve := scaled(r.Curve, 100/math.Max(1, r.Rows[0].MACs))
			if err := addLine(p, curve, "one threshold, swept", blue, nil); err != nil {
				return err
			}
		}
	}
	for _, g := range groups {
		if err := g.add(p); err != nil {
			return err
		}
	}
	margin := 0.05 * (p.Y.Max - p.Y.Min)
	p.X.Min, p.X.Max = 0, 1.05*p.X.Max
	p.Y.Min, p.Y.Max = p.Y.Min-margin, p.Y.Max+margin
	canvas := vgsvg.New(16*vg.Centimeter, 10*vg.Centimeter)
	p.Draw(draw.New(canvas))
	if _, err := canvas.WriteTo(w); err != nil {
		return fmt.Errorf("eval: plot: %w", err)
	}
	return nil
}

// group is rows that are drawn alike.
type group struct {
	name   string
	points []Point
	style  draw.GlyphStyle
	joined bool
}

// groups sorts the rows that have a cost: [0] forced depths up to full depth, then full depth, policies, other networks.
func (r *Report) groups(batch int) ([]group, error) {
	glyph := func(c color.Color, shape draw.GlyphDrawer) draw.GlyphStyle {
		return draw.GlyphStyle{Color: c, Radius: vg.Points(4), Shape: shape}
	}
	forced := group{name: "forced depth", style: glyph(grey, draw.CircleGlyph{}), joined: true}
	full := group{name: "full", style: glyph(color.Black, draw.SquareGlyph{})}
	policies := group{name: "policy", style: glyph(orange, draw.PyramidGlyph{})}
	others := group{name: "other networks", style: glyph(blue, draw.CrossGlyph{})}
	for _, row := range r.Rows {
		cost, ok := row.cost(batch)
		if !ok && row.Kind != Oracle && row.Kind != AgreeingOracle {
			return nil, fmt.Errorf("eval: plot: %s has no time at batch %d", r.label(row), batch)
		}
		point := Point{Name: r.label(row), Cost: cost, Value: 100 * row.Accuracy}
		switch {
		case row.Network > 0:
			others.points = append(others.points, point)
		case row.Kind == ForcedDepth:
			point.Name = fmt.Sprint(row.Depth)
			forced.points = append(forced.points, point)
		case row.Kind == FullDepth:
			full.points = append(full.points, point)
		case row.Kind == ByPolicy:
			policies.points = append(policies.points, point)
		}
	}
	if len(full.points) > 0 { // the last of the forced depths, without a label of its own
		forced.points = append(forced.points, Point{Cost: full.points[0].Cost, Value: full.points[0].Value})
	}
	return []group{forced, full, policies, others}, nil
}

// cost is the share of MACs in percent, or the time at a batch size.
func (row Row) cost(batch int) (float64, bool) {
	if batch == 0 {
		return 100 * row.MACsShare, true
	}
	for _, t := range row.Latency {
		if t.Batch == batch {
			return t.MS.Median, true
		}
	}
	return 0, false
}

func newPlot(x string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.White
	p.X.Label.Text, p.Y.Label.Text = x, "accuracy, %"
	sans := func(f *font.Font) { f.Typeface, f.Variant, f.Size = "Liberation", "Sans", vg.Points(10) }
	for _, f := range []*font.Font{&p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font, &p.X.Tick.Label.Font, &p.Y.Tick.Label.Font,
		&p.Legend.TextStyle.Font} {
		sans(f)
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.TickerFunc(ticks), plot.TickerFunc(ticks)
	p.Legend.Padding = vg.Points(3)
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{Y: 0xe0}, color.Gray{Y: 0xe0}
	p.Add(grid)
	return p
}

// ticks labels five to ten round numbers; gonum's own choice can be as few as two.
func ticks(low, high float64) []plot.Tick {
	step := math.Pow(10, math.Ceil(math.Log10((high-low)/10)))
	for _, part := range []float64{5, 2} {
		if (high-low)/(step/part) <= 10 {
			step /= part
			break
		}
	}
	decimals := max(0, int(math.Ceil(-math.Log10(step)-1e-9)))
	var out []plot.Tick
	for i := math.Ceil(low / step); i*step <= high; i++ {
		out = append(out, plot.Tick{Value: i * step, Label: fmt.Sprintf("%.*f", decimals, i*step)})
	}
	return out
}

// add draws the group's points with their names, and puts it into the legend.
func (g group) add(p *plot.Plot) error {
	if len(g.points) == 0 {
		return nil
	}
	if g.joined {
		if err := addLine(p, g.points, "", g.style.Color, []vg.Length{vg.Points(3), vg.Points(3)}); err != nil {
			return err
		}
	}
	xy := xys(g.points)
	scatter, err := plotter.NewScatter(xy)
	if err != nil {
		return fmt.Errorf("eval: plot: %s: %w", g.name, err)
	}
	scatter.GlyphStyle = g.style
	names := make([]string, len(g.points))
	for i, point := range g.points {
		names[i] = point.Name
	}
	labels, err := plotter.NewLabels(plotter.XYLabels{XYs: xy, Labels: names})
	if err != nil {
		return fmt.Errorf("eval: plot: %s: %w", g.name, err)
	}
	labels.Offset = vg.Point{X: vg.Points(5), Y: vg.Points(-10)}
	for i := range labels.TextStyle {
		style := &labels.TextStyle[i]
		style.Font.Typeface, style.Font.Variant, style.Font.Size = "Liberation", "Sans", vg.Points(8)
		style.Color = g.style.Color
	}
	p.Add(scatter, labels)
	p.Legend.Add(g.name, scatter)
	return nil
}

func addLine(p *plot.Plot, points []Point, name string, c color.Color, dashes []vg.Length) error {
	line, err := plotter.NewLine(xys(points))
	if err != nil {
		return fmt.Errorf("eval: plot: %w", err)
	}
	line.Color, line.Width, line.Dashes = c, vg.Points(1.5), dashes
	p.Add(line)
	if name != "" {
		p.Legend.Add(name, line)
	}
	return nil
}

func xys(points []Point) plotter.XYs {
	out := make(plotter.XYs, len(points))
	for i, p := range points {
		out[i].X, out[i].Y = p.Cost, p.Value
	}
	return out
}

// scaled are points with accuracy in percent and cost times factor.
func scaled(points []Point, factor float64) []Point {
	out := make([]Point, len(points))
	for i, p := range points {
		out[i] = Point{p.Name, factor * p.Cost, 100 * p.Value}
	}
	return out
}
