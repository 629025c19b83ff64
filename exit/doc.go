// Package exit decides when a sample may leave a network, and certifies what that costs.
//
// A network of depth L can answer at the exits k = k_1 < … < k_K = L. With the logits x of exit k and p = softmax(x) over C
// classes, three gates score how sure the answer is, all in [0, 1], larger is surer:
//
//	max-prob  p_(1)                  largest probability
//	margin    p_(1) - p_(2)          distance to the second largest
//	entropy   1 - H(p) / ln C        H(p) = -sum_c p_c ln p_c
//
// A [Policy] holds one threshold lambda_k per exit; a sample leaves at the first exit whose score is at least lambda_k, and
// at the last exit whatever its score. Decisions are plain Go on scores and hold no tensors; only score.go builds a graph,
// so that the device computes the scores and the host decides.
//
// # Calibration
//
// With y_k the answer of exit k, y_L that of the full network and y the true class, two risks are controlled:
//
//	consistency    E 1{y_exit != y_L}
//	accuracy drop  E (1{y_L = y} - 1{y_exit = y})      signed and paired, in [-1, 1]
//
// [NewPath] lays a path of policies from "never" to "at once" on the validation split. [Certify] walks it on the
// calibration split, which nothing has read before, and stops at the first policy whose risk is not shown to be below eps
// (fixed sequence testing: Angelopoulos et al., Learn then Test, arXiv 2110.01052). The last policy that passed is the
// answer. [Calibrate] does both.
//
// Before that [ChooseExits] may switch off exits that cost more time than they save, by measured times and the validation
// split alone.
//
// # What a certificate is
//
// A [Certificate] says: with probability at least 1 - delta over the draw of the calibration split, the risk of this policy
// is at most eps, for samples drawn as the calibration samples were, with the weights, plan, path and split it names.
//
// It is not a statement about one sample, one class or one batch; not about inputs from elsewhere or from later; and not
// about the network's accuracy, only about the distance to its own full-depth answer. Fine-tuning, pruning and lower
// precision void it.
package exit
