"""Cloudflare's asynchronous batch API."""
