"""The HTTP service: Cloudflare Workers AI, OpenAI and text-embeddings-inference dialects."""
