package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// postProcessor is a template in either of the two forms in which BERT's is written.
type postProcessor struct {
	Type string `json:"type"`
	// Of TemplateProcessing. An element of Single has one of the keys "SpecialToken" and "Sequence".
	Single        []map[string]templatePart `json:"single,omitempty"`
	Pair          []map[string]templatePart `json:"pair,omitempty"`
	SpecialTokens map[string]specialToken   `json:"special_tokens,omitempty"`
	// Of BertProcessing and RobertaProcessing: ["[CLS]", 101].
	Cls json.RawMessage `json:"cls,omitempty"`
	Sep json.RawMessage `json:"sep,omitempty"`
}

type templatePart struct {
	ID     string `json:"id"`
	TypeID int    `json:"type_id"`
}

type specialToken struct {
	ID     string   `json:"id"`
	IDs    []int    `json:"ids"`
	Tokens []string `json:"tokens"`
}

// template is the ids before and after a text; none without a post-processor.
func (p *postProcessor) template() (prefix, suffix []int32, err error) {
	switch {
	case p == nil:
		return nil, nil, nil
	case p.Type == "ByteLevel": // concerns places in the text alone
		return nil, nil, nil
	case p.Type == "BertProcessing" || p.Type == "RobertaProcessing":
		cls, errCls := pairID(p.Cls)
		sep, errSep := pairID(p.Sep)
		return []int32{cls}, []int32{sep}, errors.Join(errCls, errSep)
	case p.Type != "TemplateProcessing":
		return nil, nil, fmt.Errorf("token: post_processor is %q, want TemplateProcessing, BertProcessing, RobertaProcessing or ByteLevel", p.Type)
	}
	sequences := 0
	for i, part := range p.Single {
		_, isSequence := part["Sequence"]
		special, isSpecial := part["SpecialToken"]
		if isSequence == isSpecial {
			return nil, nil, fmt.Errorf("token: post_processor.single[%d] must be one of Sequence and SpecialToken", i)
		}
		if isSequence {
			sequences++
			continue
		}
		for _, id := range p.SpecialTokens[special.ID].IDs {
			if id < 0 || id > math.MaxInt32 {
				return nil, nil, fmt.Errorf("token: post_processor: id of %q is %d", special.ID, id)
			}
			if sequences == 0 {
				prefix = append(prefix, int32(id))
			} else {
				suffix = append(suffix, int32(id))
			}
		}
	}
	if sequences != 1 {
		return nil, nil, fmt.Errorf("token: post_processor.single holds %d sequences, want 1", sequences)
	}
	return prefix, suffix, nil
}

// pairID reads the id of ["[CLS]", 101].
func pairID(raw json.RawMessage) (int32, error) {
	var pair []json.RawMessage
	var id int32
	if err := json.Unmarshal(raw, &pair); err != nil || len(pair) != 2 {
		return 0, fmt.Errorf("token: post_processor: cls and sep must be [token, id], not %.40s", raw)
	}
	if err := json.Unmarshal(pair[1], &id); err != nil || id < 0 {
		return 0, fmt.Errorf("token: post_processor: cls and sep must be [token, id], not %.40s", raw)
	}
	return id, nil
}
