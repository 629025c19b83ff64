package pretrained

import (
	"fmt"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/laya"
)

// bert reads BERT (Devlin et al. 2019) and encoders of its shape, as MiniLM.
func bert(c *config, dir *folder) (*plan, error) {
	e := bertEncoder(c)
	p := &plan{backbone: e, text: &text{pad: e.PadID, longest: e.MaxLength}, prefix: "bert.", surplus: []string{
		"embeddings.position_ids", "embeddings.token_type_ids",
		"cls.", // of the language model and of next sentence prediction
	}}
	p.moves = append(bertEmbeddings(e, nil), bertBlocks(e.Layers)...)
	if c.architecture("BertModel", "BertForMaskedLM", "BertForPreTraining", "BertForSequenceClassification") == "BertForSequenceClassification" {
		e.Pool, e.Pooler = "cls", "tanh"
		p.classify(c, e.Layers, "pooler.dense", "classifier")
		return p, nil
	}
	p.surplus = append(p.surplus, "pooler.")
	var err error
	e.Pool, err = dir.pooling()
	return p, err
}

// roberta reads RoBERTa (Liu et al. 2019). Its positions count from pad_token_id+1, so that the rows of its position table
// before that are never read: without them it is a BERT.
func roberta(c *config, dir *folder) (*plan, error) {
	e := bertEncoder(c)
	unread := e.PadID + 1
	e.MaxLength -= unread
	p := &plan{backbone: e, text: &text{pad: e.PadID, longest: e.MaxLength}, prefix: "roberta.", surplus: []string{
		"embeddings.position_ids", "embeddings.token_type_ids", "pooler.", "lm_head.",
	}}
	p.moves = append(bertEmbeddings(e, dropRows(unread)), bertBlocks(e.Layers)...)
	if c.architecture("RobertaModel", "RobertaForMaskedLM", "RobertaForSequenceClassification") == "RobertaForSequenceClassification" {
		e.Pool, e.Pooler = "cls", "tanh"
		p.classify(c, e.Layers, "classifier.dense", "classifier.out_proj")
		return p, nil
	}
	var err error
	e.Pool, err = dir.pooling()
	return p, err
}

// bertEncoder reads the fields that BERT and RoBERTa share.
func bertEncoder(c *config) *backbone.Encoder {
	return &backbone.Encoder{
		Vocab: c.whole("vocab_size"), MaxLength: c.whole("max_position_embeddings"), Layers: c.layers("num_hidden_layers"),
		Dim: c.whole("hidden_size"), Heads: c.whole("num_attention_heads"), Hidden: c.whole("intermediate_size"),
		Norm: "post", Positions: "learned", PadID: c.whole("pad_token_id"), Activation: c.activation("hidden_act"),
		Epsilon: c.number("layer_norm_eps", 1e-12), Pool: "mean", Dropout: c.number("hidden_dropout_prob", 0.1),
		TokenTypes: c.whole("type_vocab_size"),
	}
}

func bertEmbeddings(e *backbone.Encoder, positions reshape) []move {
	moves := []move{
		{"stem.word", "embeddings.word_embeddings.weight", nil},
		{"stem.position", "embeddings.position_embeddings.weight", positions},
	}
	if e.TokenTypes > 0 {
		moves = append(moves, move{"stem.token_type", "embeddings.token_type_embeddings.weight", nil})
	}
	return append(moves, norm("stem.norm", "embeddings.LayerNorm")...)
}

func bertBlocks(layers int) []move {
	var moves []move
	for k := 1; k <= layers; k++ {
		to, from := backbone.BlockName(k), fmt.Sprintf("encoder.layer.%d", k-1)
		for _, name := range []string{"query", "key", "value"} {
			moves = append(moves, affine(to+".attention."+name, from+".attention.self."+name)...)
		}
		moves = append(moves, affine(to+".attention.output", from+".attention.output.dense")...)
		moves = append(moves, norm(to+".attention.norm", from+".attention.output.LayerNorm")...)
		moves = append(moves, affine(to+".ffn.up", from+".intermediate.dense")...)
		moves = append(moves, affine(to+".ffn.down", from+".output.dense")...)
		moves = append(moves, norm(to+".ffn.norm", from+".output.LayerNorm")...)
	}
	return moves
}

// distilBERT reads DistilBERT (Sanh et al. 2019), whose positions are a table whether they were learned or computed.
func distilBERT(c *config, dir *folder) (*plan, error) {
	e := &backbone.Encoder{
		Vocab: c.whole("vocab_size"), MaxLength: c.whole("max_position_embeddings"), Layers: c.layers("n_layers"),
		Dim: c.whole("dim"), Heads: c.whole("n_heads"), Hidden: c.whole("hidden_dim"),
		Norm: "post", Positions: "learned", PadID: c.whole("pad_token_id"), Activation: c.activation("activation"),
		Epsilon: 1e-12, Pool: "mean", Dropout: c.number("dropout", 0.1),
	}
	c.only("sinusoidal_pos_embds", "true", "false")
	p := &plan{backbone: e, text: &text{pad: e.PadID, longest: e.MaxLength}, prefix: "distilbert.", surplus: []string{
		"embeddings.position_ids", "vocab_transform.", "vocab_layer_norm.", "vocab_projector.",
	}}
	p.moves = append(bertEmbeddings(e, nil), distilBERTBlocks(e.Layers)...)
	architecture := c.architecture("DistilBertModel", "DistilBertForMaskedLM", "DistilBertForSequenceClassification")
	if architecture == "DistilBertForSequenceClassification" {
		e.Pool, e.Pooler = "cls", "relu"
		p.classify(c, e.Layers, "pre_classifier", "classifier")
		return p, nil
	}
	var err error
	e.Pool, err = dir.pooling()
	return p, err
}

func distilBERTBlocks(layers int) []move {
	var moves []move
	for k := 1; k <= layers; k++ {
		to, from := backbone.BlockName(k), fmt.Sprintf("transformer.layer.%d", k-1)
		for _, name := range [][2]string{{"query", "q_lin"}, {"key", "k_lin"}, {"value", "v_lin"}, {"output", "out_lin"}} {
			moves = append(moves, affine(to+".attention."+name[0], from+".attention."+name[1])...)
		}
		moves = append(moves, norm(to+".attention.norm", from+".sa_layer_norm")...)
		moves = append(moves, affine(to+".ffn.up", from+".ffn.lin1")...)
		moves = append(moves, affine(to+".ffn.down", from+".ffn.lin2")...)
		moves = append(moves, norm(to+".ffn.norm", from+".output_layer_norm")...)
	}
	return moves
}

// classify makes the checkpoint's classifier the head: an affine layer on the tap at the last depth, before it the tap's
// pooler if the family has one.
func (p *plan) classify(c *config, depth int, pooler, classifier string) {
	p.classes = c.classes()
	p.head = laya.Config{Kind: laya.LastLayer, Reads: []int{depth}, Classes: len(p.classes)}
	if pooler != "" {
		p.moves = append(p.moves, affine(backbone.TapName(depth)+".pooler", pooler)...)
	}
	p.moves = append(p.moves, affine(laya.SharedName+".classifier", classifier)...)
}
