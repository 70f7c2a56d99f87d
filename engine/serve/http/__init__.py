"""HTTP without any API: requests, responses, limits, tokens, metrics."""
