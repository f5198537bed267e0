"""HTTP, WebSocket and SSE: one Litestar application, put together in `app.py` from each module's `HANDLERS`."""
