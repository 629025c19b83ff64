// Package prune makes a network smaller where its head pays little attention.
//
// A [Profile] says how the attention over depth was distributed on a split; [NewView] computes it from observations.
// [Search] goes through what lies below a threshold, the blocks after the last layer that reaches it first, then residual
// blocks, then branches of the head, and keeps every removal that a measurement allows; what it settled on is a [Plan].
// [Apply] carries a plan out on backbone, head and weights.
//
// Attention only proposes. It mostly tracks depth and says little about which inner block a network can do without, so
// nothing is removed that was not measured. Cutting the end off is safe by construction with a prefix head: it equals
// leaving every sample at that depth.
//
// Profiles, plans and the search are plain Go: whoever measures brings a function.
package prune
