"""The thin client library: `migmond.client.sync.Client` (blocking) and `migmond.client.aio.AsyncClient` (trio)."""
