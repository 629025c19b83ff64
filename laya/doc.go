// Package laya is the head: it reads a vector from every depth of a network, decides how much attention each deserves,
// and classifies their weighted sum (G. Vessio, LAYA: Layer-wise Attention Aggregation for Interpretable Depth-Aware
// Neural Networks, arXiv 2511.12723).
//
// [Config] describes a head, [New] builds it, and [Head] cuts it into a Step for each depth read and an Answer for each
// exit, so that it runs while the backbone does. [Attention] and [Contributions] explain an answer; [Keep] and
// [KeepWeights] say what becomes of a head when blocks or branches are pruned.
//
// # Equations
//
// With h_i the tap [d_i] at depth i of Reads, row vectors and kernels [in, out]:
//
//	z_i     = h_i @ A_i + a_i                     adapter, [d*]
//	u_i     = psi(z_i)                            identity, or affine, GELU, affine, GELU with weights shared by all depths
//	s_i     = the scorer                          one number; it sees u, never z
//	alpha_i = exp(s_i/tau) / sum_j exp(s_j/tau)   attention over depth
//	h_agg   = sum_i alpha_i z_i                   mixes z, not u
//	logits  = h_agg @ W + b
//
// Kind joint is the paper's head: [s_1 … s_L] = GELU([u_1; …; u_L] @ S_0 + t_0) @ S_1 + t_1. No s_i exists before the last
// block has run, so this head answers at the last depth only.
//
// Kind prefix, the default, differs in three ways that let it answer at every depth k it reads:
//
//	k_i        = u_i / sqrt(mean(u_i^2) + 1e-6)              a normalised key: magnitude cannot buy attention
//	s_i        = GELU(k_i @ W_s + e_i) @ v + b_i             depends on depth i only; e_i and b_i belong to the depth
//	alpha^(k)  = softmax(s_i/tau over the reads i <= k)      over the depths computed so far
//	h          = sum_{i<=k} alpha_i^(k) z_i
//	logits^(k) = scale_k ((h + h @ D_k) @ W + b) + bias_k    one W and b for all exits, and what little is the exit's own
//
// v, b_i, e_i and D_k start at zero, so that a fresh head attends to all it has read alike and all exits start as one
// classifier. The switches of [Config] add, in this order, a layer norm (epsilon 1e-5) and dropout before the adapter, and
// after it a GELU and RMSNorm(z_i) * g_i; z_i stands for the result everywhere, also as the input of psi. The bias of W_s
// would be the same at all depths and is left to e_i. Without ExitScale, scale_k = 1 and bias_k = 0; without Correction,
// D_k = 0.
//
// The sum over depths is an online softmax: the carry (m, l, acc) holds the largest s_i/tau, the sum of exp(s_i/tau - m)
// and the same sum weighted by z_i, starts at (-Inf, 0, 0), and h = acc/l. A step costs O(d*) beyond its adapter and
// scorer, whatever was read before, and nothing deeper than k can touch the answer at k.
//
// The other kinds are baselines. lastlayer: logits = h_L @ W + b. linear: one such classifier for each exit. scalarmix:
// the equations above with free numbers s_i, the same for every input, and tau 1. concat: logits =
// GELU([z_1; …; z_L] @ M + m) @ W + b; the paper leaves this MLP open, one hidden layer is our choice.
//
// # What alpha is, and is not
//
// alpha_i is the weight of z_i in one sum, for one sample. It comes with the answer and costs nothing extra.
//
// It is no measure of what a depth contributes: nothing holds ||z_i|| fixed, so a depth with a small alpha can decide the
// answer. [Contributions] gives the exact share of each depth in each logit. Nor does a small alpha make a block
// removable: alpha sees the direct way from depth i to the head, while h_i also feeds every block after it. And it is one
// trained head's habit: profiles drift with the seed and with further training. Diffuse attention is no reliable sign of
// an error.
//
// # Weights
//
// All float32. k is a depth of Reads, L their number, C the classes, d* = Dim, w = Hidden. Kernels start Glorot-uniform
// and biases at zero; where another start is meant, it stands behind the symbol.
//
//	name                               shape          symbol, start  kinds
//	head.<k>.adapter.kernel, .bias     [d_k,d*] [d*]  A_k, a_k       prefix, joint, concat, scalarmix
//	head.<k>.norm.gain, .bias          [d_k] [d_k]    1, 0           prefix with TapNorm
//	head.<k>.value.gain                [d*]           g_k, 1         prefix with ValueNorm
//	head.<k>.score.embedding           [w]            e_k, 0         prefix
//	head.<k>.score.bias                [1]            b_k            prefix
//	head.<k>.exit.scale                [1]            scale_k, 1     prefix with ExitScale
//	head.<k>.exit.bias                 [C]            bias_k         prefix with ExitScale
//	head.<k>.exit.correction           [d*,d*]        D_k, 0         prefix with Correction
//	head.<k>.classifier.kernel, .bias  [d_k,C] [C]                   linear
//	head.score.kernel                  [d*,w]         W_s            prefix
//	head.score.vector                  [w,1]          v, 0           prefix
//	head.score.0.kernel, .bias         [L d*,w] [w]   S_0, t_0       joint
//	head.score.1.kernel, .bias         [w,L] [L]      S_1, t_1       joint
//	head.scores                        [L]            s, 0           scalarmix
//	head.psi.0.kernel, .bias           [d*,d*] [d*]                  prefix, joint with Psi mlp
//	head.psi.1.kernel, .bias           [d*,d*] [d*]                  prefix, joint with Psi mlp
//	head.mlp.kernel, .bias             [L d*,w] [w]   M, m           concat
//	head.classifier.kernel, .bias      [d*,C] [C]     W, b           prefix, joint, scalarmix
//	                                   [w,C] [C]                     concat
//	                                   [d_L,C] [C]                   lastlayer
package laya
