"""The HTTP APIs: Cloudflare Workers AI, OpenAI, text-embeddings-inference."""
