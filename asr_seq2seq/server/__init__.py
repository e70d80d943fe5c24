"""Recognition behind an address: OpenAI's speech API over HTTP and WebSocket, and a page."""
