package index

// Protocol names the stream between a node and an index server: frames of
// route.EncodeMessage, requests from the node, one answer to each, in their order.
const Protocol = "/kula/index/1"
